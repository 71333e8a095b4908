//! A freezer on a Raspberry Pi Pico, in Embassy: it measures its temperature every ten seconds, keeps what it measured in flash until
//! the gateway has it on disk, and defrosts when somebody taps the button.
//!
//! - UART 0 on the pins GP0 (TX) and GP1 (RX), 115,200 baud, to the gateway's serial port; its `[[serial]]` in `bellwire.toml`.
//! - A relay on GP16. The chip's own sensor stands for the one in the freezer.

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_futures::select::{Either3, select3};
use embassy_rp::adc::{self, Adc, Channel as Input};
use embassy_rp::bind_interrupts;
use embassy_rp::clocks::RoscRng;
use embassy_rp::flash::{self, Blocking, Flash};
use embassy_rp::gpio::{Level, Output};
use embassy_rp::peripherals::{FLASH, UART0};
use embassy_rp::uart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Instant, Ticker, Timer};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::serial_async::Serial;
use firmware_bridge::{Client, Device, Field, Outcome, Value};
use panic_halt as _;

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
    ADC_IRQ_FIFO => adc::InterruptHandler;
});

const CHIP_BYTES: usize = 2 * 1024 * 1024;
/// The queue's part at the end of the flash: memory.x says the same.
const QUEUE_BYTES: usize = 64 * 1024;
/// Readings that wait for the line's task, which writes each to flash.
const READINGS: usize = 4;

static MEASURED: Channel<CriticalSectionRawMutex, f32, READINGS> = Channel::new();

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let chip = embassy_rp::init(Default::default());
    let adc = Adc::new(chip.ADC, Interrupts, adc::Config::default());
    if let Ok(sensor) = measure(adc, Input::new_temp_sensor(chip.ADC_TEMP_SENSOR)) {
        spawner.spawn(sensor);
    }
    let mut relay = Output::new(chip.PIN_16, Level::Low);

    let mut flash = Flash::<_, Blocking, CHIP_BYTES>::new_blocking(chip.FLASH);
    let mut unique = [0; 8];
    let is_known = flash.blocking_unique_id(&mut unique).is_ok();
    // It fails when the flash is broken, or its part too small: the watchdog's business, or a queue in memory instead.
    let Ok(queue) = FlashQueue::<_, 256>::open(Partition(flash)) else { return };
    let seed = RoscRng.next_u32(); // the ring oscillator's noise
    let device = Device { id: "freezer-2", firmware: "pico 0.1", commands: &["defrost"], seed };
    let Ok(mut client) = Client::<_, 256>::new(device, queue) else { return };
    if is_known {
        client = client.with_unique_id(&unique);
    }

    let (mut sends, mut receives) = ([0; 256], [0; 256]);
    let config = uart::Config::default(); // 115,200 baud, 8 bits, no parity, one stop bit
    let port =
        BufferedUart::new(chip.UART0, chip.PIN_0, chip.PIN_1, Interrupts, &mut sends, &mut receives, config);
    let mut serial = Serial::new(port);

    loop {
        let now = Instant::now().as_millis();
        if let Some(command) = client.command_to_obey(now) {
            let (id, is_on) = (command.id, command.payload == br#"{"defrost": true}"#);
            relay.set_level(if is_on { Level::High } else { Level::Low });
            client.answer(id, Outcome::Done, if is_on { "defrosting" } else { "cooling" });
        }
        // An error of the line (noise, a break) is over with the next byte; what was lost is sent again.
        let _ = serial.exchange(&mut client, now).await;

        let timer = Timer::at(Instant::from_millis(client.wake_at()));
        if let Either3::Third(celsius) = select3(serial.listen(), timer, MEASURED.receive()).await
            && let Some(field) = Field::new("celsius", Value::Float(celsius))
        {
            // Refused: the flash is full, as the gateway was away for long. It hears how many there were.
            let _ = client.event(&[field], Instant::now().as_millis());
        }
    }
}

#[embassy_executor::task]
async fn measure(mut adc: Adc<'static, adc::Async>, mut sensor: Input<'static>) {
    let mut ticker = Ticker::every(embassy_time::Duration::from_secs(10));
    loop {
        if let Ok(raw) = adc.read(&mut sensor).await {
            let volts = f32::from(raw) * 3.3 / 4096.0;
            MEASURED.send(27.0 - (volts - 0.706) / 0.001721).await; // RP2040 datasheet, 4.9.5
        }
        ticker.next().await;
    }
}

/// The end of the chip's flash.
struct Partition(Flash<'static, FLASH, Blocking, CHIP_BYTES>);

const FROM: u32 = (CHIP_BYTES - QUEUE_BYTES) as u32;

impl ErrorType for Partition {
    type Error = flash::Error;
}

impl ReadNorFlash for Partition {
    const READ_SIZE: usize = flash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), flash::Error> {
        self.0.blocking_read(FROM + offset, bytes)
    }

    fn capacity(&self) -> usize {
        QUEUE_BYTES
    }
}

impl NorFlash for Partition {
    const WRITE_SIZE: usize = flash::WRITE_SIZE;
    const ERASE_SIZE: usize = flash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), flash::Error> {
        self.0.blocking_erase(FROM + from, FROM + to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), flash::Error> {
        self.0.blocking_write(FROM + offset, bytes)
    }
}
