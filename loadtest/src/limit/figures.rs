//! What the limit comes out as: every window, and the medians of each setup, as JSON and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Setup, Shape};

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Window {
    /// What was measured.
    pub setup: Setup,
    /// Seconds it took.
    pub seconds: f64,
    /// Frames handed to the kernel, over all receivers.
    pub deliveries: u64,
    /// Writes: `deliveries` by the frames of a write.
    pub writes: u64,
    /// CPU seconds of the sending process in it.
    pub cpu_seconds: f64,
    /// Writes that the kernel did not take at once, for which the sender waited.
    pub blocked: u64,
    /// How often the sending process was put off its core for another one: what disturbs the figure.
    pub preempted: u64,
    /// CPU seconds of the receiving process, until it had read everything.
    pub receiver_cpu_seconds: f64,
    /// Seconds after the window until the receivers had read everything.
    pub drained_after_seconds: f64,
}

impl Window {
    /// The yardstick.
    #[expect(clippy::cast_precision_loss, reason = "a window has far fewer deliveries than a float counts exactly")]
    #[must_use]
    pub fn per_cpu_second(&self) -> f64 {
        self.deliveries as f64 / self.cpu_seconds.max(1e-9)
    }

    /// How fast it was.
    #[expect(clippy::cast_precision_loss, reason = "a window has far fewer deliveries than a float counts exactly")]
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.deliveries as f64 / self.seconds.max(1e-9)
    }
}

/// The windows of one setup together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub setup: Setup,
    /// Median of the deliveries for each CPU second of the sending process.
    pub per_cpu_second: f64,
    /// Median of what it is against the first setup of the same batch and rate, each time in the same round: 1.1 is a tenth more.
    pub against_first: f64,
    /// The smallest and the largest.
    pub spread: (f64, f64),
    /// Median of the deliveries a second.
    pub per_second: f64,
    /// Median CPU microseconds of a write.
    pub micros_a_write: f64,
    /// Median of the deliveries for each CPU second of the receiving process.
    pub receiver_per_cpu_second: f64,
}

/// Everything that one run measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// The form of this JSON.
    pub format: u32,
    /// What was asked for.
    pub shape: Shape,
    /// Bytes of a frame with its header, before sealing.
    pub frame_bytes: usize,
    /// CPU milliseconds of the sending process for accepting one connection, its TLS handshake and its upgrade.
    pub connect_cpu_ms: f64,
    /// RSS of the sending process that one connection needs, in bytes.
    pub rss_per_connection: f64,
    /// One for each setup.
    pub figures: Vec<Figure>,
    /// In the order in which they were measured.
    pub windows: Vec<Window>,
}

/// The middle one; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    crate::report::figures::median(&mut values).unwrap_or(0.0)
}

impl Figure {
    /// The windows of `setup` among `windows`, put together; a round measured `setups` of them.
    #[expect(clippy::cast_precision_loss, reason = "a window has far fewer deliveries than a float counts exactly")]
    pub(super) fn of(setup: Setup, windows: &[Window], setups: usize) -> Self {
        let ratio = |round: &[Window]| {
            let alike = |w: &&Window| w.setup.batch == setup.batch && w.setup.rate.total_cmp(&setup.rate).is_eq();
            let first = round.iter().find(alike)?.per_cpu_second();
            Some(round.iter().find(|window| window.setup == setup)?.per_cpu_second() / first.max(1e-9))
        };
        let ratios = windows.chunks(setups.max(1)).filter_map(ratio).collect();
        let of = |value: &dyn Fn(&Window) -> f64| -> Vec<f64> {
            windows.iter().filter(|window| window.setup == setup).map(value).collect()
        };
        let rates = of(&Window::per_cpu_second);
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let most = rates.iter().copied().fold(0.0, f64::max);
        Self {
            setup,
            per_cpu_second: median(rates),
            against_first: median(ratios),
            spread: (least, most),
            per_second: median(of(&Window::per_second)),
            micros_a_write: median(of(&|w| w.cpu_seconds * 1e6 / w.writes.max(1) as f64)),
            receiver_per_cpu_second: median(of(&|w| w.deliveries as f64 / w.receiver_cpu_seconds.max(1e-9))),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = &self.shape;
        writeln!(
            f,
            "sealing and sending alone: {} connections, rooms of {}, order {}, frames of {} bytes ({} of payload)",
            shape.connections, shape.room_size, shape.order, self.frame_bytes, shape.payload
        )?;
        writeln!(
            f,
            "a connection: {:.3} ms of CPU to accept, {:.1} KiB RSS",
            self.connect_cpu_ms,
            self.rss_per_connection / 1024.0
        )?;
        writeln!(
            f,
            "{:>8} {:>5} {:>5} {:>9} | {:>14} {:>8} {:>20} {:>10} {:>8} | {:>10}",
            "send",
            "group",
            "batch",
            "rate",
            "per CPU second",
            "to first",
            "least – most",
            "a second",
            "µs/write",
            "receiver's"
        )?;
        for figure in &self.figures {
            let Setup { way, group, batch, rate } = figure.setup;
            let rate = if rate > 0.0 { format!("{rate:.0}") } else { "most".to_owned() };
            writeln!(
                f,
                "{:>8} {group:>5} {batch:>5} {rate:>9} | {:>14.0} {:>8.2} {:>9.0} –{:>9.0} {:>10.0} {:>8.2} | {:>10.0}",
                way.to_string(),
                figure.per_cpu_second,
                figure.against_first,
                figure.spread.0,
                figure.spread.1,
                figure.per_second,
                figure.micros_a_write,
                figure.receiver_per_cpu_second
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Way;
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_its_own_windows() {
        let other = Setup { way: Way::Plain, group: 1, batch: 2, rate: 0.0 };
        let setup = Setup { way: Way::Uring, group: 8, ..other };
        let window = |setup, deliveries, cpu_seconds| Window {
            setup,
            seconds: 2.0,
            deliveries,
            writes: deliveries / 2,
            cpu_seconds,
            blocked: 0,
            preempted: 0,
            receiver_cpu_seconds: 0.5,
            drained_after_seconds: 0.0,
        };
        let windows = [
            window(other, 100, 1.0),
            window(setup, 100, 1.0),
            window(other, 100, 1.0),
            window(setup, 400, 1.0),
            window(other, 100, 0.5),
            window(setup, 600, 2.0),
        ];
        let figure = Figure::of(setup, &windows, 2);
        assert_eq!(figure.per_cpu_second.to_bits(), 300.0_f64.to_bits());
        assert_eq!(figure.against_first.to_bits(), 1.5_f64.to_bits());
        assert_eq!(figure.spread, (100.0, 400.0));
        assert_eq!(figure.per_second.to_bits(), 200.0_f64.to_bits());
        assert_eq!(figure.receiver_per_cpu_second.to_bits(), 800.0_f64.to_bits());
        assert_eq!(median(vec![]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(median(vec![3.0, 1.0]).to_bits(), 2.0_f64.to_bits());
    }
}
