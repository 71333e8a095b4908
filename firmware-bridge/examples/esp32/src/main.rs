//! A freezer on an ESP32 with ESP-IDF: Wi-Fi, MQTT, and a partition that keeps its events while there is neither.
//!
//! The MQTT connection blocks, so it has a thread of its own; what happens there wakes the main one, which does everything else.

mod freezer;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use esp_idf_svc::eventloop::EspSystemEventLoop;
use esp_idf_svc::hal::gpio::PinDriver;
use esp_idf_svc::hal::modem::Modem;
use esp_idf_svc::hal::peripherals::Peripherals;
use esp_idf_svc::mqtt::client::{EspMqttClient, MqttClientConfiguration};
use esp_idf_svc::nvs::EspDefaultNvsPartition;
use esp_idf_svc::partition::EspPartition;
use esp_idf_svc::sys::EspError;
use esp_idf_svc::wifi::{ClientConfiguration, Configuration, EspWifi};
use firmware_bridge::flash::FlashQueue;

use freezer::{Freezer, NAME};

const SSID: &str = env!("WIFI_SSID");
const PASSWORD: &str = env!("WIFI_PASSWORD");
/// Such as mqtt://192.168.1.10:1883.
const BROKER: &str = env!("BROKER_URL");

const MEASURE_EVERY_MS: u64 = 10_000;
/// The Wi-Fi is looked at this often, whatever else happens.
const LOOK_EVERY_MS: u64 = 5_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    esp_idf_svc::sys::link_patches();
    esp_idf_svc::log::EspLogger::initialize_default();
    let chip = Peripherals::take()?;
    let mut relay = PinDriver::output(chip.pins.gpio16)?;

    // SAFETY: the partition `events` of partitions.csv is used here alone, and opened once.
    let partition = unsafe { EspPartition::new("events") }?.ok_or("partitions.csv was not flashed")?;
    let queue = FlashQueue::<_, 256>::open(partition).map_err(|error| format!("the queue: {error:?}"))?;
    // SAFETY: it takes nothing and has no state.
    let seed = unsafe { esp_idf_svc::sys::esp_random() };
    let freezer = Freezer::new(queue, seed, &mac()?).map_err(|error| format!("the device: {error:?}"))?;
    let freezer = Arc::new(Mutex::new(freezer));

    // Without a network the freezer measures all the same: the queue keeps what it measured.
    let mut wifi = wifi(chip.modem)?;
    let config = MqttClientConfiguration { client_id: Some(NAME), ..Default::default() };
    let (mut mqtt, mut connection) = EspMqttClient::new(BROKER, &config)?;
    let (heard, main) = (Arc::clone(&freezer), thread::current());
    let hear = move || {
        while let Ok(event) = connection.next() {
            heard.lock().unwrap_or_else(PoisonError::into_inner).arrived(&event.payload(), now_ms());
            main.unpark();
        }
    };
    thread::Builder::new().stack_size(6_000).spawn(hear)?;

    let (mut measure_at, mut look_at) = (0, 0);
    loop {
        let now = now_ms();
        if now >= look_at {
            look_at = now + LOOK_EVERY_MS;
            if !wifi.is_connected().unwrap_or(false) {
                let _ = wifi.connect(); // again in a while; the MQTT client finds the way back by itself
            }
        }
        let wake_at = {
            let mut freezer = freezer.lock().unwrap_or_else(PoisonError::into_inner);
            if now >= measure_at {
                measure_at = now + MEASURE_EVERY_MS;
                if !freezer.measured(celsius(), now) {
                    log::warn!("a reading was left out: {}", freezer.bridge.counters());
                }
            }
            let turn = freezer.turn(&mut mqtt, now);
            relay.set_level(freezer.defrosts.into())?;
            turn.unwrap_or_else(|error| {
                log::warn!("MQTT: {error}");
                now + 1_000
            })
        };
        let next = wake_at.min(measure_at).min(look_at);
        thread::park_timeout(Duration::from_millis(next.saturating_sub(now_ms()).max(10)));
    }
}

/// Milliseconds since the start.
fn now_ms() -> u64 {
    // SAFETY: it takes nothing.
    let microseconds = unsafe { esp_idf_svc::sys::esp_timer_get_time() };
    u64::try_from(microseconds).unwrap_or(0) / 1_000
}

/// By it the gateway knows this board again, and tells two apart that were given one name.
fn mac() -> Result<[u8; 6], EspError> {
    let mut mac = [0; 6];
    // SAFETY: six bytes is what it writes.
    esp_idf_svc::sys::esp!(unsafe { esp_idf_svc::sys::esp_efuse_mac_get_default(mac.as_mut_ptr()) })?;
    Ok(mac)
}

/// Switched on, and not connected yet: nobody waits for that.
fn wifi(modem: Modem<'static>) -> Result<EspWifi<'static>, EspError> {
    let mut wifi = EspWifi::new(modem, EspSystemEventLoop::take()?, Some(EspDefaultNvsPartition::take()?))?;
    let client = ClientConfiguration {
        ssid: SSID.try_into().unwrap_or_default(),
        password: PASSWORD.try_into().unwrap_or_default(),
        ..Default::default()
    };
    wifi.set_configuration(&Configuration::Client(client))?;
    wifi.start()?;
    Ok(wifi)
}

/// The sensor of your freezer.
fn celsius() -> f32 {
    -18.0
}
