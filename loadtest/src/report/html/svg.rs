//! One chart as SVG: scales with ticks that people read, lines, areas, phases behind them, and what each second was under the pointer.
//!
//! Every chart is drawn twice, wide and narrow, and the style sheet shows one of them: text that is scaled down cannot be read.

use std::fmt::Write as _;

use super::super::short;
use super::escape;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly, from 0 to this.
    Linear(f64),
    /// Each factor of ten as long as the next, from and to.
    Log(f64, f64),
    /// Seconds, evenly, from 0 to this.
    Time(f64),
    /// Shares of all as numbers of nines (90 % is 1, 99 % is 2), to this.
    Nines(f64),
}

/// A line or an area.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// What the legend says.
    pub(super) name: String,
    /// The number of its colour.
    pub(super) color: usize,
    /// Its points. A gap is one whose y is not a number.
    pub(super) points: Vec<(f64, f64)>,
    /// What is below it, when it is an area: y for each point.
    pub(super) floor: Option<Vec<f64>>,
    /// Thin and light: for what is not the matter of the chart.
    pub(super) faint: bool,
}

/// A phase behind the lines.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) name: String,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// The unit of y.
    pub(super) unit: &'static str,
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) series: Vec<Series>,
    pub(super) bands: Vec<Band>,
    /// Texts for the pointer: from, to, text.
    pub(super) hover: Vec<(f64, f64, String)>,
}

impl Scale {
    /// A linear scale that holds all of `values`, from 0.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let step = nice(most / 4.0);
        Self::Linear(if most > 0.0 { (most / step).ceil() * step } else { 1.0 })
    }

    /// A logarithmic scale that holds all of `values` above 0, over six factors of ten at most.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        if most <= 0.0 {
            return Self::Log(0.1, 10.0);
        }
        let decade = |value: f64| 10_f64.powf(value.log10().floor());
        let least = least.max(most / 1e6);
        let low = [5.0, 2.0, 1.0].iter().map(|m| m * decade(least)).find(|low| *low <= least * 1.0001);
        let high = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * decade(most)).find(|high| *high >= most * 0.9999);
        let low = low.unwrap_or(least);
        Self::Log(low, high.unwrap_or(most).max(low * 10.0))
    }

    /// Where a value lies, 0 to 1.
    fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear(most) | Self::Time(most) | Self::Nines(most) => value / most,
            Self::Log(low, high) => (value.max(low) / low).ln() / (high / low).ln(),
        };
        place.clamp(0.0, 1.0)
    }

    /// Values that get a mark, with their words; `room` is how many fit.
    #[allow(clippy::cast_possible_truncation)] // a handful of powers of ten
    fn ticks(self, room: f64) -> Vec<(f64, String)> {
        match self {
            Self::Linear(most) => {
                let step = nice(most / room.max(2.0));
                steps(step, most).map(|value| (value, compact(value))).collect()
            }
            Self::Time(most) => {
                let sizes = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0];
                let step = sizes.into_iter().find(|size| most / size <= room).unwrap_or(14_400.0);
                steps(step, most).map(|value| (value, clock(value))).collect()
            }
            Self::Log(low, high) => {
                let decades = (high / low).log10();
                let parts: &[f64] = if decades > room / 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
                let all = (first..=last).flat_map(|power| parts.iter().map(move |part| part * 10_f64.powi(power)));
                all.filter(|v| *v >= low * 0.999 && *v <= high * 1.001).map(|v| (v, compact(v))).collect()
            }
            Self::Nines(most) => {
                let names = ["0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
                let named = names.iter().zip(0_u32..).map(|(name, nines)| (f64::from(nines), (*name).to_owned()));
                let all: Vec<(f64, String)> = named.filter(|(nines, _)| *nines <= most).collect();
                #[allow(clippy::cast_precision_loss)] // seven at most
                let step = if all.len() as f64 > room { 2 } else { 1 };
                all.into_iter().step_by(step).collect()
            }
        }
    }
}

fn steps(step: f64, most: f64) -> impl Iterator<Item = f64> {
    (0..100_u32).map(move |n| f64::from(n) * step).take_while(move |value| *value <= most * 1.0001)
}

/// The next 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|part| part * power).find(|step| *step >= value * 0.9999).unwrap_or(value)
}

/// A number for an axis: no more figures than it has, thousands as k.
pub(super) fn compact(value: f64) -> String {
    let (scaled, unit, digits) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M", 2),
        size if size >= 1e4 => (value / 1e3, "k", 2),
        size if size >= 1e3 => return short(value.round()),
        size if size >= 1.0 => (value, "", 2),
        _ => (value, "", 4),
    };
    let text = format!("{scaled:.digits$}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn clock(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds of hours
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}

impl Chart {
    /// The figure: its title, its legend, the drawing in two widths. Empty when it has no points.
    pub(super) fn figure(&self) -> String {
        if self.series.iter().all(|series| series.points.is_empty()) {
            return String::new();
        }
        let unit = if self.unit.is_empty() { String::new() } else { format!(" <span>{}</span>", escape(self.unit)) };
        let mut out = format!("<figure><figcaption>{}{unit}</figcaption>", escape(&self.title));
        out += "<ul class=\"legend\">";
        for series in &self.series {
            let faint = if series.faint { " class=\"faint\"" } else { "" };
            let _ = write!(out, "<li{faint}><i class=\"c{}\"></i>{}</li>", series.color, escape(&series.name));
        }
        out += "</ul>";
        out += &self.drawn("wide", 620.0, 250.0, true);
        out += &self.drawn("narrow", 360.0, 220.0, false);
        out += "</figure>\n";
        out
    }

    fn drawn(&self, class: &str, width: f64, height: f64, hover: bool) -> String {
        let (left, right, top, bottom) = (46.0, 12.0, 20.0, 24.0);
        let (w, h) = (width - left - right, height - top - bottom);
        let at_x = |value: f64| left + self.x.place(value) * w;
        let at_y = |value: f64| top + (1.0 - self.y.place(value)) * h;
        // Writing to a String cannot fail, here and below.
        let mut out = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        for (number, band) in (1..).zip(&self.bands) {
            let (from, to) = (at_x(band.from), at_x(band.to));
            let odd = if number % 2 == 1 { "band odd" } else { "band" };
            let _ = write!(
                out,
                "<rect class=\"{odd}\" x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{h}\"/>",
                (to - from).max(0.0)
            );
            #[allow(clippy::cast_precision_loss)] // a short name
            let fits = |text: &str| text.chars().count() as f64 * 6.2 + 4.0 <= to - from;
            let name = Some(band.name.clone())
                .filter(|name| fits(name))
                .or_else(|| Some(number.to_string()).filter(|n| fits(n)));
            if let Some(name) = name {
                let _ = write!(
                    out,
                    "<text class=\"phase\" x=\"{:.1}\" y=\"{}\">{}</text>",
                    from + 3.0,
                    top - 7.0,
                    escape(&name)
                );
            }
        }
        for (value, words) in self.y.ticks((h / 38.0).floor()) {
            let y = at_y(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"y\" x=\"{}\" y=\"{:.1}\">{}</text>",
                left + w,
                left - 6.0,
                y + 4.0,
                escape(&words)
            );
        }
        let ticks = self.x.ticks((w / 62.0).floor());
        let last = ticks.len().saturating_sub(1);
        for (number, (value, words)) in ticks.iter().enumerate() {
            let x = at_x(*value);
            let class = if number == last && x > left + w - 20.0 { "x end" } else { "x" };
            let x_text = if class == "x end" { x.min(left + w) + right - 2.0 } else { x };
            let _ = write!(
                out,
                "<line class=\"grid tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text class=\"{class}\" x=\"{x_text:.1}\" y=\"{:.1}\">{}</text>",
                top + h,
                top + h + 4.0,
                top + h + 17.0,
                escape(words)
            );
        }
        for series in self.series.iter().rev() {
            let path = path(series, &at_x, &at_y);
            let kind = if series.floor.is_some() { "area" } else { "line" };
            let faint = if series.faint { " faint" } else { "" };
            let _ = write!(out, "<path class=\"{kind}{faint} c{}\" d=\"{path}\"/>", series.color);
        }
        if hover {
            for (from, to, text) in &self.hover {
                let (x, until) = (at_x(*from), at_x(*to));
                let _ = write!(
                    out,
                    "<rect class=\"hover\" x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{h}\"><title>{}</title></rect>",
                    (until - x).max(0.5),
                    escape(text)
                );
            }
        }
        out += "</svg>";
        out
    }
}

/// The path of a series. A lone point between gaps becomes a short dash, so that it is seen.
fn path(series: &Series, at_x: &dyn Fn(f64) -> f64, at_y: &dyn Fn(f64) -> f64) -> String {
    let mut out = String::new();
    let mut run: Vec<usize> = Vec::new();
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for (at, (_, y)) in series.points.iter().enumerate() {
        if y.is_finite() {
            run.push(at);
        } else if !run.is_empty() {
            runs.push(std::mem::take(&mut run));
        }
    }
    runs.push(run);
    for run in runs.iter().filter(|run| !run.is_empty()) {
        let point = |at: &usize| series.points.get(*at).map(|(x, y)| (at_x(*x), at_y(*y)));
        for (number, (x, y)) in run.iter().filter_map(point).enumerate() {
            let _ = write!(out, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" });
        }
        if let Some(floor) = &series.floor {
            for at in run.iter().rev() {
                if let (Some((x, _)), Some(below)) = (series.points.get(*at), floor.get(*at)) {
                    let _ = write!(out, "L{:.1} {:.1}", at_x(*x), at_y(*below));
                }
            }
            out.push('Z');
        } else if run.len() == 1 {
            out += "h2";
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_their_values_and_have_round_marks() {
        assert_eq!(Scale::linear([3.0, 870.0].into_iter()), Scale::Linear(1000.0));
        assert_eq!(Scale::log([0.23, 0.0, f64::NAN, 31.0].into_iter()), Scale::Log(0.2, 50.0));
        assert_eq!(Scale::log([1.0, 1.0].into_iter()), Scale::Log(1.0, 10.0));
        assert_eq!(Scale::log([1e-9, 1000.0].into_iter()), Scale::Log(0.001, 1000.0));
        let words = |scale: Scale, room| scale.ticks(room).into_iter().map(|(_, words)| words).collect::<Vec<_>>();
        assert_eq!(words(Scale::Log(0.2, 50.0), 6.0), ["0.2", "0.5", "1", "2", "5", "10", "20", "50"]);
        assert_eq!(words(Scale::Time(95.0), 5.0), ["0 s", "30 s", "1:00", "1:30"]);
        assert_eq!(words(Scale::Linear(40_000.0), 5.0), ["0", "10k", "20k", "30k", "40k"]);
        assert_eq!(words(Scale::Linear(1.0), 5.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    }

    #[test]
    fn marks_read_as_people_write_numbers() {
        for (value, words) in
            [(0.0, "0"), (100.0, "100"), (2.5, "2.5"), (1500.0, "1,500"), (2.5e6, "2.5M"), (0.05, "0.05")]
        {
            assert_eq!(compact(value), words);
        }
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0)];
        let series = Series { name: String::new(), color: 0, points, floor: None, faint: false };
        assert_eq!(path(&series, &|x| x, &|y| y), "M0.0 1.0L1.0 2.0M3.0 4.0h2");
    }
}
