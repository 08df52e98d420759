//! The charts of a page: what of a report becomes which line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::figures::median;
use super::super::{Distribution, PhaseReport, Report, Sample, short};
use super::svg::{Band, Chart, Scale, Series, compact};

/// Points that a line has at most: more are not seen, and a soak of hours would make the page large.
const POINTS: usize = 400;

/// Texts for the pointer that a chart has at most.
const HOVERS: usize = 150;

/// Threads that get a colour of their own; the others are summed up.
const THREADS: usize = 6;

/// How the seconds that share a point become one value.
#[derive(Clone, Copy)]
enum Fold {
    Mean,
    Median,
    Most,
}

/// All charts of a report that have something to show.
pub(super) fn all(report: &Report) -> String {
    let line = Line::of(report);
    let mut charts = vec![line.latency("Delivery latency", |s| &s.delivery), percentiles(report)];
    charts.push(line.latency("Ack latency", |s| &s.ack));
    charts.push(line.counts("Deliveries", "a second", &[("delivered", 0, &|s| s.a_second(s.delivered))]));
    charts.push(line.counts(
        "Messages",
        "a second",
        &[
            ("sent", 0, &|s| s.a_second(s.sent)),
            ("acked", 3, &|s| s.a_second(s.acked)),
            ("errors", 2, &|s| s.a_second(s.errors)),
        ],
    ));
    charts.push(line.cpu());
    charts.push(line.memory());
    charts.push(line.counts("Connections", "live", &[("live", 0, &|s| whole(s.open))]));
    charts.push(line.shards("Deliveries by shard", "a second", |shard| shard.deliveries));
    charts.push(line.shards("Length of a turn by shard", "ms, mean", |shard| shard.turn_ms));
    charts.push(line.lateness());
    charts.iter().map(Chart::figure).collect()
}

/// The timeline, cut into as many pieces as there are points.
struct Line<'a> {
    pieces: Vec<&'a [Sample]>,
    length: f64,
    bands: Vec<Band>,
}

impl<'a> Line<'a> {
    fn of(report: &'a Report) -> Self {
        let size = report.timeline.len().div_ceil(POINTS).max(1);
        let ends = report.phases.iter().map(|phase| phase.start_seconds + phase.seconds);
        let length = ends.chain(report.timeline.last().map(|sample| sample.t)).fold(1.0, f64::max);
        let band = |phase: &PhaseReport| Band {
            from: phase.start_seconds,
            to: phase.start_seconds + phase.seconds,
            name: phase.name.clone(),
        };
        Self { pieces: report.timeline.chunks(size).collect(), length, bands: report.phases.iter().map(band).collect() }
    }

    /// A point a piece, in its middle; a gap where no second has a value.
    fn points(&self, fold: Fold, value: &dyn Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |piece: &&[Sample]| {
            let mut values: Vec<f64> = piece.iter().filter_map(value).collect();
            #[allow(clippy::cast_precision_loss)] // seconds of one point
            let folded = match fold {
                _ if values.is_empty() => f64::NAN,
                Fold::Mean => values.iter().sum::<f64>() / values.len() as f64,
                Fold::Median => median(&mut values).unwrap_or(f64::NAN),
                Fold::Most => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            };
            (middle(piece), folded)
        };
        self.pieces.iter().map(point).collect()
    }

    fn chart(&self, title: &str, unit: &'static str, y: Scale, series: Vec<Series>) -> Chart {
        // A chart over time without any value would be an empty frame.
        let seen = series.iter().any(|series| series.points.iter().any(|(_, y)| y.is_finite()));
        let hover = if seen { self.hover(unit, &series) } else { Vec::new() };
        Chart {
            title: title.to_owned(),
            unit,
            x: Scale::Time(self.length),
            y,
            series: if seen { series } else { Vec::new() },
            bands: self.bands.clone(),
            hover,
        }
    }

    fn hover(&self, unit: &str, series: &[Series]) -> Vec<(f64, f64, String)> {
        let step = self.pieces.len().div_ceil(HOVERS).max(1);
        let mut hover = Vec::new();
        for at in (0..self.pieces.len()).step_by(step) {
            let (Some(first), last) = (self.pieces.get(at), self.pieces.get(at + step - 1).or(self.pieces.last()))
            else {
                continue;
            };
            let (Some(from), Some(to)) = (first.first(), last.and_then(|piece| piece.last())) else { continue };
            let mut words = format!("{} s", short(from.t.round()));
            for series in series {
                let values = series.points.iter().zip(0..series.points.len()).skip(at).take(step);
                // Of a stacked area its own height counts.
                let own =
                    values.map(|((_, y), n)| y - series.floor.as_ref().and_then(|f| f.get(n)).copied().unwrap_or(0.0));
                let most = own.filter(|y| y.is_finite()).fold(f64::NAN, f64::max);
                if most.is_finite() {
                    let _ = write!(words, "\n{}: {} {unit}", series.name, compact(most));
                }
            }
            hover.push((from.began(), to.t, words));
        }
        hover
    }

    fn latency(&self, title: &str, of: fn(&Sample) -> &super::super::Moment) -> Chart {
        let seen = move |sample: &Sample, value: fn(&super::super::Moment) -> f64| {
            let moment = of(sample);
            (moment.count > 0).then(|| value(moment))
        };
        let series = vec![
            line("p50", 0, self.points(Fold::Median, &|s| seen(s, |m| m.p50_ms))),
            line("p99", 1, self.points(Fold::Most, &|s| seen(s, |m| m.p99_ms))),
            Series { faint: true, ..line("max", 2, self.points(Fold::Most, &|s| seen(s, |m| m.max_ms))) },
        ];
        let y = Scale::log(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
        self.chart(title, "ms", y, series)
    }

    fn counts(&self, title: &str, unit: &'static str, of: &[(&str, usize, &dyn Fn(&Sample) -> f64)]) -> Chart {
        let made =
            of.iter().map(|(name, color, value)| line(name, *color, self.points(Fold::Mean, &|s| Some(value(s)))));
        // What never happened gets no line.
        let series: Vec<Series> = made.filter(|series| series.points.iter().any(|(_, y)| *y > 0.0)).collect();
        let y = Scale::linear(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
        self.chart(title, unit, y, series)
    }

    /// Threads of the server one on the other; the harness as a line.
    fn cpu(&self) -> Chart {
        let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
        for server in self.pieces.iter().flat_map(|piece| piece.iter()).filter_map(|sample| sample.server.as_ref()) {
            for (name, seconds) in &server.by_thread {
                *totals.entry(name).or_default() += seconds;
            }
        }
        let mut names: Vec<(&str, f64)> = totals.into_iter().collect();
        names.sort_by(|a, b| b.1.total_cmp(&a.1));
        let named: Vec<&str> = names.iter().take(THREADS).map(|(name, _)| *name).collect();
        let server = |s: &Sample, value: &dyn Fn(&super::super::ServerSample) -> f64| s.server.as_ref().map(value);
        let mut layers: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        for name in &named {
            let own = |s: &Sample| server(s, &|server| server.by_thread.get(*name).copied().unwrap_or(0.0));
            layers.push(((*name).to_owned(), self.points(Fold::Mean, &own)));
        }
        // What no named thread used: other threads, and threads that ended within the second.
        let others = |s: &Sample| {
            server(s, &|server| {
                let known: f64 = named.iter().filter_map(|name| server.by_thread.get(*name)).sum();
                (server.cpu_seconds - known).max(0.0)
            })
        };
        let others = self.points(Fold::Mean, &others);
        if others.iter().any(|(_, y)| *y > 0.01) {
            layers.push((if named.is_empty() { "server" } else { "other threads" }.to_owned(), others));
        }
        let mut floor = vec![0.0; self.pieces.len()];
        let mut series = Vec::new();
        for (number, (name, points)) in layers.into_iter().enumerate() {
            let raised: Vec<(f64, f64)> = points.iter().zip(&floor).map(|((x, y), below)| (*x, y + below)).collect();
            let above =
                raised.iter().zip(&floor).map(|((_, y), below)| if y.is_finite() { *y } else { *below }).collect();
            let color = [0, 3, 1, 4, 6, 5].get(number).copied().unwrap_or(7);
            series.push(Series { name, color, points: raised, floor: Some(floor), faint: false });
            floor = above;
        }
        let generator =
            self.points(Fold::Mean, &|s| Some(s.generator_cpu_seconds / s.length()).filter(|cpu| *cpu > 0.0));
        if generator.iter().any(|(_, y)| y.is_finite()) {
            series.insert(0, line("the harness", 2, generator));
        }
        let y = Scale::linear(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
        self.chart("CPU of the server by thread", "cores", y, series)
    }

    fn memory(&self) -> Chart {
        #[allow(clippy::cast_precision_loss)] // bytes shown as MiB
        let mib = |bytes: u64| (bytes > 0).then(|| bytes as f64 / f64::from(1 << 20));
        let rss = self.points(Fold::Mean, &|s| s.server.as_ref().and_then(|server| mib(server.rss_bytes)));
        // Read every tenth second: joined up, for gaps between them mean nothing.
        let mut pss = self.points(Fold::Mean, &|s| s.server.as_ref().and_then(|server| mib(server.pss_bytes?)));
        pss.retain(|(_, y)| y.is_finite());
        let mut series = vec![line("RSS", 0, rss)];
        if pss.len() > 1 {
            series.push(Series { faint: true, ..line("PSS", 3, pss) });
        }
        let y = Scale::linear(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
        let mut chart = self.chart("Memory of the server", "MiB", y, series);
        // PSS has other points than pieces.
        let rss_only: Vec<Series> = chart.series.iter().take(1).cloned().collect();
        chart.hover = self.hover("MiB", &rss_only);
        chart
    }

    fn shards(&self, title: &str, unit: &'static str, value: fn(&super::super::ShardSample) -> f64) -> Chart {
        let samples = || self.pieces.iter().flat_map(|piece| piece.iter()).filter_map(|sample| sample.server.as_ref());
        let mut names: Vec<&str> = samples().flat_map(|server| server.shards.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let of = |name: &'_ str| {
            let name = name.to_owned();
            move |s: &Sample| s.server.as_ref()?.shards.get(&name).map(value)
        };
        let made = names.iter().enumerate().map(|(number, name)| {
            let mut series = line(&format!("shard {name}"), number % 8, self.points(Fold::Mean, &of(name)));
            // A page may come twice in one second and not in the next.
            series.points.retain(|(_, y)| y.is_finite());
            series
        });
        let series: Vec<Series> = made.filter(|series| series.points.iter().any(|(_, y)| *y > 0.0)).collect();
        let y = Scale::linear(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
        let mut chart = self.chart(title, unit, y, series);
        chart.hover.clear();
        chart
    }

    fn lateness(&self) -> Chart {
        let seen = |s: &Sample| (s.lateness.count > 0).then_some(s.lateness.p99_ms);
        let series = vec![line("p99", 1, self.points(Fold::Most, &seen))];
        let y = Scale::linear(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
        self.chart("How late the harness sent", "ms", y, series)
    }
}

fn middle(piece: &[Sample]) -> f64 {
    let ends = piece.first().zip(piece.last());
    ends.map_or(0.0, |(first, last)| f64::midpoint(first.began(), last.t))
}

#[allow(clippy::cast_precision_loss)] // connections
fn whole(count: u64) -> f64 {
    count as f64
}

fn line(name: &str, color: usize, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), color, points, floor: None, faint: false }
}

/// What share of all was faster: of the main phase, and of every other kind of time that no phase but another has.
fn percentiles(report: &Report) -> Chart {
    let main = report.main_phase();
    let mut found: Vec<(String, &Distribution)> = Vec::new();
    let phases = report.phases.iter().filter(|phase| phase.measured());
    // The main phase first, then the others for what it lacks.
    for phase in main.into_iter().chain(phases) {
        for (name, times) in phase.all_distributions() {
            if !found.iter().any(|(known, _)| known.split(": ").last() == Some(name)) {
                found.push((format!("{}: {name}", phase.name), times));
            }
        }
    }
    found.truncate(8);
    let mut deepest = 2.0_f64;
    let mut series = Vec::new();
    for (number, (name, times)) in found.into_iter().enumerate() {
        #[allow(clippy::cast_precision_loss)] // counts
        let nines = (times.count() as f64).log10().min(6.0);
        deepest = deepest.max(nines.ceil());
        // The fastest few say nothing and would stretch the axis down: from the tenth in a hundred on.
        let steps = (2..=300_u32).map(|step| f64::from(step) * 0.02).take_while(|x| *x <= nines);
        let mut points: Vec<(f64, f64)> = steps.map(|x| (x, times.at(1.0 - 10_f64.powf(-x)).max(0.001))).collect();
        points.push((nines, times.max()));
        series.push(line(&name, number, points));
    }
    let y = Scale::log(series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)));
    Chart {
        title: "Percentiles: how long the slowest took".to_owned(),
        unit: "ms",
        x: Scale::Nines(deepest),
        y,
        series,
        bands: Vec::new(),
        hover: Vec::new(),
    }
}
