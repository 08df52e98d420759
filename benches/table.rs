//! What `make bench` prints.

use std::io::{Write, stdout};

use crate::meter::Res;
use crate::record::{Figures, Record};

/// One line a benchmark, the present figures with the kept ones beside them.
pub fn print(now: &[(&str, Figures)], record: &Record, times: bool) -> Res<()> {
    let mut out = stdout().lock();
    let width = now.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    write!(out, "{:width$}  {:11}{:>31}", "", "for one", "instructions")?;
    if times {
        write!(out, "{:>37}", "time")?;
    }
    writeln!(out, "{:>27}", "allocations")?;
    write!(out, "{:width$}  {:11}{:>11}{:>11}{:>9}", "", "", "now", "recorded", "change")?;
    if times {
        write!(out, "{:>11}{:>8}{:>10}{:>8}", "now", "spread", "recorded", "change")?;
    }
    writeln!(out, "{:>9}{:>9}{:>9}", "blocks", "recorded", "bytes")?;
    for (name, figures) in now {
        let kept = record.benchmarks.get(*name);
        write!(out, "{name:width$}  {:11}", figures.unit)?;
        three(&mut out, figures.instructions, kept.and_then(|kept| kept.instructions), &plain)?;
        if times {
            let spread = figures.ns_spread_percent.map_or("-".to_owned(), |spread| format!("{spread:.0} %"));
            let recorded = kept.and_then(|kept| kept.ns);
            let (now, kept) = (cell(figures.ns, &duration), cell(recorded, &duration));
            write!(out, "{now:>11}{spread:>8}{kept:>10}{:>8}", change(figures.ns, recorded))?;
        }
        let blocks = kept.map_or("-".to_owned(), |kept| format!("{:.2}", kept.blocks));
        writeln!(out, "{:>9.2}{blocks:>9}{:>9.0}", figures.blocks, figures.bytes)?;
    }
    Ok(())
}

fn three(out: &mut impl Write, now: Option<f64>, kept: Option<f64>, show: &dyn Fn(f64) -> String) -> Res<()> {
    Ok(write!(out, "{:>11}{:>11}{:>9}", cell(now, show), cell(kept, show), change(now, kept))?)
}

fn cell(value: Option<f64>, show: &dyn Fn(f64) -> String) -> String {
    value.map_or("-".to_owned(), show)
}

fn change(now: Option<f64>, kept: Option<f64>) -> String {
    let change = now.zip(kept).map(|(now, kept)| (now / kept - 1.0) * 100.0);
    change.map_or("-".to_owned(), |percent| format!("{percent:+.1} %"))
}

fn plain(value: f64) -> String {
    if value < 1000.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}
