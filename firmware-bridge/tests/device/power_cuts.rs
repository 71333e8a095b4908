use firmware_bridge::flash::FlashQueue;
use firmware_bridge::{Position, Queue, QueueError};

use crate::dice::Dice;
use crate::flash::Flash;

const SCRATCH: usize = 128;
type Kept<const W: usize> = FlashQueue<Flash<W>, SCRATCH>;

/// What must hold, beside the flash.
#[derive(Default)]
struct Model {
    starts: u32,
    base: Option<u32>,
    /// Accepted and not let go.
    kept: Vec<(Position, Vec<u8>)>,
    /// Accepted and let go: a power cut may bring the last of them back.
    gone: Vec<(Position, Vec<u8>)>,
    /// Neither accepted nor refused when the power went.
    doubtful: Option<(Position, Vec<u8>)>,
    doubtful_base: Option<u32>,
    /// What was let go before it was kept never comes back.
    name: String,
    doubtful_name: Option<String>,
}

fn contents<const W: usize>(queue: &mut Kept<W>) -> Vec<(Position, Vec<u8>)> {
    let mut buffer = [0; SCRATCH];
    let length = queue.len();
    let read = |index| {
        let (at, length) = queue.get(index, &mut buffer).unwrap().unwrap();
        (at, buffer[..length].to_vec())
    };
    (0..length).map(read).collect()
}

/// Opens the flash after a cut, or after none, and compares. `None`: the power went again while opening.
fn open<const W: usize>(flash: &Flash<W>, model: &mut Model) -> Option<Kept<W>> {
    let opened = FlashQueue::open(flash.clone());
    if flash.is_off() {
        return None;
    }
    let mut queue = opened.expect("flash with power opens");
    assert!(queue.starts() > model.starts, "a start's number came again");
    model.starts = queue.starts();
    assert!(queue.base() == model.base || queue.base() == model.doubtful_base, "the base is lost");
    model.base = queue.base();
    let name = queue.name().unwrap().to_owned();
    assert!(name == model.name || Some(&name) == model.doubtful_name.as_ref(), "the name is lost");
    if name != model.name {
        model.gone.clear();
    }
    (model.name, model.doubtful_name) = (name, None);
    let found = contents(&mut queue);
    let mut expected = model.kept.clone();
    if let Some(doubtful) = model.doubtful.take().filter(|doubtful| found.last() == Some(doubtful)) {
        expected.push(doubtful);
    }
    let back = found.len().checked_sub(expected.len()).expect("an accepted event is lost");
    let gone = model.gone.split_off(model.gone.len().checked_sub(back).expect("an event from nowhere"));
    expected.splice(0..0, gone);
    assert_eq!(found, expected);
    model.kept = expected;
    Some(queue)
}

fn live<const W: usize>(
    queue: &mut Kept<W>,
    flash: &Flash<W>,
    model: &mut Model,
    dice: &mut Dice,
    steps: u64,
) {
    let mut sequence = 0;
    let named_at = dice.below(steps * 2); // perhaps not at all
    for step in 0..steps {
        let action = dice.below(10);
        if step == named_at {
            let name = format!("board-{}", dice.below(1_000));
            match queue.set_name(&name) {
                Ok(()) => {
                    model.name = name;
                    model.gone.clear();
                }
                Err(_) => model.doubtful_name = Some(name),
            }
        } else if action < 6 {
            let at = Position { boot: queue.starts(), sequence: sequence + 1 };
            let fields: Vec<u8> = (0..dice.below(60)).map(|_| dice.roll() as u8).collect();
            match queue.push(at, &fields) {
                Ok(()) => {
                    sequence += 1;
                    model.kept.push((at, fields));
                }
                Err(QueueError::Full) => assert!(queue.len() >= 2, "full with {} events", queue.len()),
                Err(QueueError::Storage) if flash.is_off() => model.doubtful = Some((at, fields)),
                Err(error) => panic!("{error:?}"),
            }
        } else if action < 9 {
            let before = queue.len();
            let _ = queue.pop(); // whether it went shows in the length, also when the power went
            if queue.len() < before {
                let first = model.kept.remove(0);
                model.gone.push(first);
            }
        } else {
            let base = dice.below(1000) as u32;
            let base = model.base.map_or(base, |old| old + base);
            match queue.set_base(base) {
                Ok(()) => model.base = Some(base),
                Err(_) => model.doubtful_base = Some(base),
            }
        }
        if flash.is_off() {
            return;
        }
    }
}

/// One life: two days' work, a cut at the `cut`-th write or erasure, and a look at what is left, perhaps cut again.
fn life<const W: usize>(seed: u64, cut: u32) -> bool {
    let mut dice = Dice::new(seed);
    let flash = Flash::<W>::new(6, seed);
    let mut model = Model::default();
    for _ in 0..3 {
        let mut queue = open(&flash, &mut model).unwrap();
        live(&mut queue, &flash, &mut model, &mut dice, 25);
    }
    flash.cut_after(cut);
    if let Some(mut queue) = open(&flash, &mut model) {
        live(&mut queue, &flash, &mut model, &mut dice, 40);
    }
    let was_cut = flash.power();
    if dice.percent(30) {
        flash.cut_after(dice.below(3) as u32);
        drop(open(&flash, &mut model));
        flash.power();
    }
    let mut queue = open(&flash, &mut model).expect("the power stays");
    model.doubtful_base = None;
    live(&mut queue, &flash, &mut model, &mut dice, 40);
    open(&flash, &mut model).expect("the power stays");
    was_cut
}

#[test]
fn an_accepted_event_survives_a_power_cut_at_every_write() {
    fn all<const W: usize>() -> u32 {
        let mut cuts = 0;
        for seed in 0..60 {
            let mut cut = 0;
            while life::<W>(seed, cut) {
                (cut, cuts) = (cut + 1, cuts + 1);
            }
        }
        cuts
    }
    let cuts = [all::<1>(), all::<4>(), all::<8>(), all::<32>()];
    assert!(cuts.iter().all(|cuts| *cuts > 1_000), "{cuts:?}");
    println!("power cuts, by write unit 1, 4, 8, 32: {cuts:?}");
}

#[test]
fn a_failed_write_loses_no_other_event() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let flash = Flash::<4>::new(6, seed);
        let mut model = Model::default();
        let mut queue = open(&flash, &mut model).unwrap();
        let mut sequence = 0;
        for _ in 0..60 {
            if dice.percent(20) {
                flash.fault_after(dice.below(2) as u32);
            }
            let at = Position { boot: queue.starts(), sequence: sequence + 1 };
            if queue.push(at, &[seed as u8; 20]).is_ok() {
                sequence += 1;
                model.kept.push((at, vec![seed as u8; 20]));
            }
            if dice.percent(50) && queue.len() > 0 && queue.pop().is_ok() {
                let first = model.kept.remove(0);
                model.gone.push(first);
            }
        }
        flash.fault_after(u32::MAX);
        assert_eq!(contents(&mut queue), model.kept, "seed {seed}");
        open(&flash, &mut model).unwrap();
    }
}

#[test]
fn all_pages_wear_alike() {
    let flash = Flash::<4>::new(8, 1);
    let mut queue = Kept::<4>::open(flash.clone()).unwrap();
    for sequence in 1..=5_000 {
        queue.push(Position { boot: 1, sequence }, &[7; 44]).unwrap();
        if sequence % 3 == 0 {
            (0..3).for_each(|_| queue.pop().unwrap());
        }
    }
    let ring = flash.erasures().split_off(2);
    let (least, most) = (ring.iter().min().unwrap(), ring.iter().max().unwrap());
    assert!(most - least <= 2 && *most < 5_000 * 60 / 256 / 6 + 50, "{ring:?}");
}

#[test]
fn flash_with_anything_else_in_it_is_taken_for_empty() {
    use embedded_storage::nor_flash::NorFlash;
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let mut flash = Flash::<4>::new(6, seed);
        let noise: Vec<u8> = (0..6 * 256).map(|_| dice.roll() as u8).collect();
        flash.write(0, &noise).unwrap();
        let mut model = Model::default();
        let mut queue = open(&flash, &mut model).unwrap();
        assert_eq!((queue.starts(), queue.base(), queue.name(), queue.len()), (1, None, Some(""), 0));
        live(&mut queue, &flash, &mut model, &mut dice, 50);
        open(&flash, &mut model).unwrap();
    }
}

#[test]
fn a_full_queue_says_so_and_takes_events_again_after() {
    let flash = Flash::<4>::new(4, 1);
    let mut queue = Kept::<4>::open(flash).unwrap();
    let mut sequence = 0;
    let mut push = |queue: &mut Kept<4>| {
        let pushed = queue.push(Position { boot: 1, sequence: sequence + 1 }, &[1; 48]);
        sequence += u32::from(pushed.is_ok());
        pushed
    };
    while push(&mut queue).is_ok() {}
    assert_eq!(push(&mut queue), Err(QueueError::Full));
    assert_eq!(queue.len(), 8); // two pages of four
    (0..4).for_each(|_| queue.pop().unwrap());
    assert_eq!(push(&mut queue), Ok(()));
    assert_eq!(queue.push(Position { boot: 1, sequence: 99 }, &[0; 113]), Err(QueueError::TooLarge));
}

/// The newest entry of the log may be alone on its page when the other one fails: that page must not be erased then.
#[test]
fn boot_count_survives_a_flash_fault_and_power_cut() {
    const ENTRIES: u32 = (crate::flash::PAGE / 16) as u32;
    for cut in 0..5 {
        for seed in 0..50 {
            let flash = Flash::<4>::new(4, seed);
            let mut model = Model::default();
            for _ in 0..ENTRIES * 3 {
                open(&flash, &mut model).unwrap();
            }
            flash.fault_after(1); // the first write to the page that was just erased
            flash.cut_after(cut);
            let _ = open(&flash, &mut model);
            flash.power();
            flash.fault_after(u32::MAX);
            let before = model.starts;
            let queue = open(&flash, &mut model).unwrap();
            assert!(queue.starts() > before && before >= ENTRIES * 3, "seed {seed}");
        }
    }
}
