//! Time on the wall: many rounds in several repetitions, of which the median counts. Says something on a quiet machine only.

use std::time::{Duration, Instant};

use crate::meter::{Meter, Res, Subject};

const REPETITIONS: usize = 7;
/// One repetition lasts so long, preparations and checks included.
const REPETITION: Duration = Duration::from_millis(120);

/// Nanoseconds of one unit.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// The median of the repetitions.
    pub median: f64,
    /// From the fastest to the slowest repetition, as a part of the median.
    pub spread: f64,
}

/// Measures one benchmark.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of less than a second")]
pub fn time(subject: &Subject) -> Res<Time> {
    let mut each = Vec::new();
    let mut world: Option<(crate::meter::Round, u32)> = None;
    for _ in 0..REPETITIONS {
        let (mut meter, mut units) = (Meter::default(), 0);
        let begun = Instant::now();
        while units == 0 || begun.elapsed() < REPETITION {
            let (mut round, mut left) = match world.take() {
                Some(there) => there,
                None => {
                    let mut round = (subject.make)()?;
                    for _ in 0..3 {
                        round(&mut Meter::default())?;
                    }
                    (round, subject.rounds_max.saturating_sub(3))
                }
            };
            meter.on = true;
            while left > 0 && (units == 0 || begun.elapsed() < REPETITION) {
                units += round(&mut meter)?;
                left -= 1;
            }
            if left > 0 {
                world = Some((round, left));
            }
        }
        each.push(meter.taken.time.as_nanos() as f64 / units as f64);
    }
    each.sort_unstable_by(f64::total_cmp);
    let median = each.get(each.len() / 2).copied().unwrap_or_default();
    let (least, most) = (each.first().copied().unwrap_or_default(), each.last().copied().unwrap_or_default());
    Ok(Time { median, spread: (most - least) / median })
}
