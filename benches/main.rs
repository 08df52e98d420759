//! Causerie's benchmarks: instructions, allocations and time of what a message goes through, beside the figures kept in git.
//!
//! ```text
//! bench [NAME]...          everything (or what has NAME in its name), as a table
//! bench check [NAME]...    instructions and allocations only; fails when they moved by more than 5 % from benches/recorded.json
//! ... --renew              keeps what was measured
//! ```

mod alloc;
mod callgrind;
mod codec;
mod fanout;
mod history;
mod lanes;
mod meter;
mod presence;
mod record;
mod rows;
mod session;
mod store;
mod table;
mod tls;
mod wall;
mod world;

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use callgrind::Counted;
use meter::{Res, Subject};
use record::{Figures, Record, rounded};

/// Every benchmark, in the order of a message's way.
fn all() -> Vec<Subject> {
    [codec::ALL, session::ALL, fanout::ALL, presence::ALL, history::ALL, lanes::ALL, tls::ALL, store::ALL].concat()
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do when even this cannot be said.
            let _ = writeln!(stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> Res<ExitCode> {
    if let [one, name] = &arguments[..]
        && one == "one"
    {
        let subject = all().into_iter().find(|subject| subject.name == name).ok_or("no such benchmark")?;
        writeln!(stdout(), "{}", callgrind::line(&callgrind::one(&subject)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut take = |word: &str| {
        let place = arguments.iter().position(|argument| argument == word);
        place.map(|place| arguments.remove(place)).is_some()
    };
    let (checks, renews) = (take("check"), take("--renew"));
    if let Some(unknown) = arguments.iter().find(|argument| argument.starts_with('-')) {
        return Err(format!("unknown option {unknown}; known is --renew").into());
    }
    let wanted =
        |subject: &Subject| arguments.is_empty() || arguments.iter().any(|word| subject.name.contains(&**word));
    let subjects: Vec<Subject> = all().into_iter().filter(wanted).collect();
    if subjects.is_empty() {
        return Err(format!("no benchmark has one of these in its name: {}", arguments.join(", ")).into());
    }
    let mut kept = Record::load()?;
    let valgrind = callgrind::version();
    if valgrind.is_none() {
        writeln!(
            stderr(),
            "bench: no valgrind here, so no instructions are counted (Debian: apt-get install valgrind)"
        )?;
    }
    let counted: Vec<Subject> = subjects.iter().filter(|subject| subject.counted || !checks).copied().collect();
    let mut now = figures(&counted, valgrind.is_some())?;
    if !checks {
        for ((_, figures), subject) in now.iter_mut().zip(&counted) {
            let time = wall::time(subject).map_err(|error| format!("{}: {error}", subject.name))?;
            figures.ns = Some(rounded(time.median));
            figures.ns_spread_percent = Some((time.spread * 100.0).round());
        }
    }
    table::print(&now, &kept, !checks)?;
    if renews {
        renew(&mut kept, &now, arguments.is_empty() && !checks, valgrind)?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if checks { verdict(&now, &kept, arguments.is_empty())? } else { ExitCode::SUCCESS })
}

/// Counts all of them, as many at a time as there are cores.
fn figures(subjects: &[Subject], valgrind: bool) -> Res<Vec<(&'static str, Figures)>> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Result<Counted, String>)>> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, usize::from).min(subjects.len());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((place, subject)) = subjects.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let counted = callgrind::count(subject, valgrind).map_err(|error| error.to_string());
                    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, counted));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_unstable_by_key(|(place, _)| *place);
    let each =
        subjects.iter().zip(found).map(|(subject, (_, counted))| Ok((subject.name, one_unit(subject, counted?))));
    each.collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts of a few rounds")]
fn one_unit(subject: &Subject, counted: Counted) -> Figures {
    let each = |sum: u64| rounded(sum as f64 / counted.units as f64);
    Figures {
        unit: subject.unit.to_owned(),
        instructions: counted.instructions.map(each),
        blocks: each(counted.blocks),
        bytes: each(counted.bytes),
        ns: None,
        ns_spread_percent: None,
    }
}

/// Keeps the new figures; of a check only counts are new.
fn renew(kept: &mut Record, now: &[(&'static str, Figures)], whole: bool, valgrind: Option<String>) -> Res<()> {
    let Some(valgrind) = valgrind else { return Err("without valgrind the record cannot be renewed".into()) };
    if whole {
        kept.machine = record::machine();
    }
    (kept.valgrind, kept.rustc) = (valgrind, record::rustc());
    let known: Vec<&str> = all().iter().map(|subject| subject.name).collect();
    kept.benchmarks.retain(|name, _| known.contains(&&**name));
    for (name, figures) in now {
        let before = kept.benchmarks.entry((*name).to_owned()).or_default();
        let mut figures = figures.clone();
        figures.ns = figures.ns.or(before.ns);
        figures.ns_spread_percent = figures.ns_spread_percent.or(before.ns_spread_percent);
        *before = figures;
    }
    kept.store()?;
    writeln!(stdout(), "kept in benches/recorded.json: {} benchmarks", now.len())?;
    Ok(())
}

/// What a check says at its end.
fn verdict(now: &[(&str, Figures)], kept: &Record, whole: bool) -> Res<ExitCode> {
    let mut wrong: Vec<String> =
        now.iter().flat_map(|(name, figures)| record::moved(name, figures, kept.benchmarks.get(*name))).collect();
    if whole {
        let known: Vec<&str> = all().iter().map(|subject| subject.name).collect();
        let gone = kept.benchmarks.keys().filter(|name| !known.contains(&&***name));
        wrong.extend(gone.map(|name| format!("{name} is in the record and is no benchmark any more")));
    }
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = stderr();
    for line in &wrong {
        writeln!(out, "bench: {line}")?;
    }
    writeln!(
        out,
        "bench: if this is meant, keep it with `make bench-check RENEW=1` and say why in the commit; the record was made with {} and {}",
        kept.rustc, kept.valgrind
    )?;
    Ok(ExitCode::FAILURE)
}
