//! Draws the state: what fits into 80 × 24, more where there is more room, and still something where there is less.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline, Wrap};

use super::app::{Page, State};
use super::format::{bytes, count, duration, ms, percent};
use super::table::{Cell, GAP, Table, Tone};
use super::tables;
use super::view::View;
use crate::client::terminal::harmless;

/// From here on there is room for the curves.
const TALL: u16 = 32;
/// For how long a restart is told, in seconds.
const TELL_RESTART: f64 = 60.0;
const HELP: &str = "\
q, Esc, Ctrl-C   quit
p, space         pause: the numbers stay, the server is asked on
s                sort shards by the next column
Tab, 1 … 4       another page
↑ ↓ PgUp PgDn    scroll
?                this

Rates are those of the last interval. p50 and p99 come from buckets: within one, values are
taken as evenly spread; max is the bound that none was above.
stalls and full: since the start (+ in the last interval). lanes: batches that wait now.
– is not known: nothing happened, or the server does not tell.
docs/tuning.md says what moves each number.";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(header(state, usize::from(head.width))), head);
    if let Some(view) = &state.view {
        match state.page {
            Page::Overview => overview(frame, body, state, view),
            Page::Shards => {
                let shards = lines(tables::shards(view, state.sort), state, body.width);
                let times = lines(tables::shard_latency(view, state.sort), state, body.width);
                let half = u16::try_from(shards.len() + 1).unwrap_or(u16::MAX).min(body.height / 2 + 1);
                let [above, below] = Layout::vertical([Constraint::Length(half), Constraint::Min(0)]).areas(body);
                scrolled(frame, above, state, shards);
                scrolled(frame, below, state, times);
            }
            Page::Clients => scrolled(frame, body, state, lines(tables::clients(view), state, body.width)),
            Page::Process => {
                scrolled(frame, body, state, lines(tables::process(view, state.wall), state, body.width));
            }
        }
    }
    frame.render_widget(Paragraph::new(footer(state)), foot);
    if state.help {
        help(frame, state);
    }
}

fn style(state: &State, tone: Tone) -> Style {
    let plain = Style::new();
    match (tone, state.colour) {
        (Tone::Plain, _) => plain,
        (Tone::Faint, true) => plain.fg(Color::DarkGray),
        (Tone::Faint, false) => plain,
        (Tone::Strong, true) => plain.fg(Color::Cyan),
        (Tone::Strong, false) => plain.add_modifier(Modifier::BOLD),
        (Tone::Warn, true) => plain.fg(Color::Yellow).add_modifier(Modifier::BOLD),
        (Tone::Warn, false) => plain.add_modifier(Modifier::UNDERLINED),
        (Tone::Bad, true) => plain.fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD),
        (Tone::Bad, false) => plain.add_modifier(Modifier::REVERSED),
    }
}

fn header(state: &State, width: usize) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let Some(view) = &state.view else {
        let wait = match &state.away {
            Some((_, why)) => Span::styled(harmless(&format!("no answer yet: {why}")), style(state, Tone::Bad)),
            None => Span::raw("asking …"),
        };
        return vec![Line::styled(format!("causerie top  {}", state.target), bold), Line::from(wait)];
    };
    let process = &view.process;
    let up = duration(process.started.map(|start| state.wall - start));
    let version = harmless(view.version.as_deref().unwrap_or("?"));
    let title = format!("causerie {version}  {}  up {up}", state.target);
    let right = format!("every {} s", count(Some(state.every.as_secs_f64())));
    let right = if state.paused { format!("PAUSED  {right}") } else { right };
    let gap = width.saturating_sub(title.chars().count() + right.chars().count()).max(2);
    let first = Line::from(vec![
        Span::styled(title, bold),
        Span::raw(" ".repeat(gap)),
        Span::styled(right, style(state, if state.paused { Tone::Warn } else { Tone::Faint })),
    ]);
    let all = &view.all;
    let limit = view.clients.connections_limit.map(|limit| format!(" of {}", count(Some(limit)))).unwrap_or_default();
    let mut second = vec![
        Span::raw(format!("connections {}{limit}  ", count(all.connections))),
        Span::raw(format!("messages/s {}  ", count(all.messages))),
        Span::raw(format!("deliveries/s {}  ", count(all.deliveries))),
        Span::raw(format!("cpu {}", percent(all.cpu))),
    ];
    let cell = |name: &str, cell: Cell| {
        [Span::raw(name.to_owned()), Span::styled(cell.text, style(state, cell.tone)), Span::raw("  ")]
    };
    let mut third = Vec::new();
    third.extend(cell("memory ", tables::memory(process)));
    third.extend(cell("files ", tables::files(process)));
    third.push(Span::raw(format!("store {}", bytes(view.store.size_bytes))));
    if let Some((since, why)) = &state.away {
        let text =
            format!("NO ANSWER for {}, what is below is old. {}", duration(Some(state.now - since)), harmless(why));
        // Why it is so may be long, and is worth a second line.
        let chars: Vec<char> = text.chars().collect();
        let mut parts = chars
            .chunks(width.max(1))
            .map(|part| Span::styled(part.iter().collect::<String>(), style(state, Tone::Bad)));
        second = parts.next().into_iter().collect();
        if let Some(more) = parts.next() {
            third = vec![more];
        }
    } else if let Some(at) = state.restarted.filter(|at| state.now - at < TELL_RESTART) {
        let text = format!("  RESTARTED {} ago", duration(Some(state.now - at)));
        second.push(Span::styled(text, style(state, Tone::Warn)));
    }
    vec![first, Line::from(second), Line::from(third)]
}

fn footer(state: &State) -> Line<'static> {
    let mut spans = Vec::new();
    for (at, page) in Page::ALL.into_iter().enumerate() {
        let chosen = page == state.page;
        let style = if chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.extend([Span::styled(format!("{} {}", at + 1, page.name()), style), Span::raw(" ")]);
    }
    // The end may be cut off at 80 columns: it only says how shards are sorted.
    let keys = format!(" q quit  p pause  ? help  s by {}", state.sort.name());
    spans.push(Span::styled(keys, style(state, Tone::Faint)));
    Line::from(spans)
}

/// A table as lines, the heads first, with the columns that fit.
fn lines(table: Table, state: &State, width: u16) -> Vec<Line<'static>> {
    let table = table.fitted(usize::from(width));
    let widths = table.widths();
    let line = |cells: Vec<(String, Style)>| {
        let mut spans = Vec::new();
        for (at, ((text, style), width)) in cells.into_iter().zip(&widths).enumerate() {
            let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
            if at == 0 {
                spans.extend([Span::styled(text, style), Span::raw(blanks)]);
            } else {
                spans.extend([Span::raw(" ".repeat(GAP) + &blanks), Span::styled(text, style)]);
            }
        }
        Line::from(spans)
    };
    let head = Style::new().add_modifier(Modifier::UNDERLINED);
    let heads = line(table.columns.iter().map(|column| (column.head.to_owned(), head)).collect());
    let rows = table
        .rows
        .into_iter()
        .map(|row| line(row.into_iter().map(|cell| (harmless(&cell.text), style(state, cell.tone))).collect()));
    std::iter::once(heads).chain(rows).collect()
}

/// Lines of which the first stays; the last row stays too, as the sum. What does not fit is scrolled to, and said to be there.
fn scrolled(frame: &mut Frame<'_>, area: Rect, state: &State, mut lines: Vec<Line<'static>>) {
    let room = usize::from(area.height).max(2);
    if lines.len() > room {
        let hidden = lines.len() - room;
        let from = state.scroll.min(hidden);
        lines.drain(1..=from);
        lines.truncate(room);
        let text = format!("… {} of {hidden} lines further up, {} further down", from, hidden - from);
        if let Some(last) = lines.last_mut() {
            *last = Line::styled(text, style(state, Tone::Faint));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn overview(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View) {
    let shards = lines(tables::shards(view, state.sort), state, area.width);
    let (left, right) = (tables::latency(view), tables::store(view));
    let beside = right.widths().iter().sum::<usize>() + GAP;
    let times_wide = u16::try_from(left.widths().iter().sum::<usize>() + GAP * left.columns.len()).unwrap_or(0);
    let times_wide = times_wide.min(area.width.saturating_sub(u16::try_from(beside + 3).unwrap_or(0)));
    let times = lines(left, state, times_wide);
    let store = lines(right, state, area.width);
    let below = below(view, state, usize::from(area.width));
    let height = |lines: &Vec<Line<'_>>| u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let (times_high, below_high) = (height(&times).max(height(&store)), height(&below));
    // With little room the shards keep a few rows of their own.
    let wanted = height(&shards).saturating_add(1);
    let left_over = area.height.saturating_sub(times_high + below_high);
    let curves =
        if frame.area().height >= TALL && left_over > wanted + 4 { (left_over - wanted - 1).min(12) } else { 0 };
    let [top, middle, bottom, curve, _] = Layout::vertical([
        Constraint::Length(wanted.min(left_over.saturating_sub(curves).max(5))),
        Constraint::Length(times_high),
        Constraint::Length(below_high),
        Constraint::Length(curves),
        Constraint::Min(0),
    ])
    .areas(area);
    scrolled(frame, Rect { height: top.height.saturating_sub(1), ..top }, state, shards);
    let right_width = u16::try_from(beside).unwrap_or(0);
    let [times_at, store_at] =
        Layout::horizontal([Constraint::Length(times_wide), Constraint::Length(right_width)]).spacing(3).areas(middle);
    frame.render_widget(Paragraph::new(times), times_at);
    frame.render_widget(Paragraph::new(store), store_at);
    frame.render_widget(Paragraph::new(below), bottom);
    if curve.height > 2 {
        curves_of(frame, curve, state);
    }
}

/// What clients are refused, and which threads work.
fn below(view: &View, state: &State, width: usize) -> Vec<Line<'static>> {
    let clients = &view.clients;
    let line = |name: &str, text: String, tone: Tone| {
        let room = width.saturating_sub(13);
        let text: String = harmless(&text).chars().take(room).collect();
        Line::from(vec![
            Span::styled(format!("{name:<13}"), style(state, Tone::Strong)),
            Span::styled(text, style(state, tone)),
        ])
    };
    let worth = |empty: bool| if empty { Tone::Faint } else { Tone::Warn };
    let failed = clients.handshakes_failed.unwrap_or(0.0) + clients.admission_refused.unwrap_or(0.0);
    let door = format!(
        "handshakes {}, failed {}, at the door {}, opened {}, closed {}",
        count(clients.handshakes),
        count(clients.handshakes_failed),
        count(clients.admission_refused),
        count(clients.opened),
        count(view.interval_seconds.map(|_| clients.closed.values().sum())),
    );
    let threads = tables::top(&view.process.threads, 12);
    let threads: Vec<String> = threads.iter().map(|(name, cpu)| format!("{name} {}", percent(Some(*cpu)))).collect();
    let threads = if threads.is_empty() { "not known".to_owned() } else { threads.join(", ") };
    vec![
        Line::default(),
        line("connecting/s", door, if failed > 0.0 { Tone::Warn } else { Tone::Plain }),
        line("refused/s", tables::top_line(&clients.refused, 4), worth(clients.refused.is_empty())),
        line("shed/s", tables::top_line(&clients.shed, 4), worth(clients.shed.is_empty())),
        line("threads", threads, Tone::Plain),
    ]
}

fn curves_of(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area);
    let mut curve = |area: Rect,
                     name: &str,
                     value: &dyn Fn(&super::app::Point) -> f64,
                     scale: f64,
                     show: &dyn Fn(f64) -> String| {
        let shown = usize::from(area.width);
        let values: Vec<f64> = state.history.iter().rev().take(shown).rev().map(value).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the height of a bar")]
        let bars: Vec<u64> = values.iter().map(|value| (value * scale) as u64).collect();
        let title = format!("{name}, at most {}", show(most));
        let block = Block::new().borders(Borders::TOP).title(title).border_style(style(state, Tone::Faint));
        let bar = if state.colour { Style::new().fg(Color::Cyan) } else { Style::new() };
        frame.render_widget(Sparkline::default().block(block).data(bars).style(bar), area);
    };
    curve(left, "deliveries/s", &|point| point.deliveries, 1.0, &|most| count(Some(most)));
    curve(right, "received → acked p99", &|point| point.acked_p99_ms, 1000.0, &|most| {
        format!("{} ms", ms(Some(most)))
    });
}

fn help(frame: &mut Frame<'_>, state: &State) {
    let all = frame.area();
    let wanted = u16::try_from(HELP.lines().map(|line| line.chars().count()).max().unwrap_or(0)).unwrap_or(0) + 4;
    let lines = u16::try_from(HELP.lines().count()).unwrap_or(0) + 2;
    let (width, height) = (wanted.min(all.width), (lines + 1).min(all.height));
    let area = Rect { x: (all.width - width) / 2, y: (all.height - height) / 2, width, height };
    let block = Block::new().borders(Borders::ALL).title(" causerie top ").border_style(style(state, Tone::Strong));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(HELP).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::super::app::tests::state;
    use super::super::interval::tests::snapshot;
    use super::*;
    use crate::metrics::Snapshot as ShardNumbers;
    use crate::metrics::expose::{Numbers, render};

    fn page(shards: u16, times: u64) -> String {
        let mut all = Vec::new();
        for shard in 0..shards {
            let mut numbers = ShardNumbers { shard, ..ShardNumbers::default() };
            numbers.counters.connections_active = 5000;
            numbers.counters.messages_received = 500 * times;
            numbers.counters.deliveries = 49_500 * times;
            numbers.counters.refused.insert("rate_limited", 3 * times);
            (0..times).for_each(|_| numbers.counters.received_to_acked.record(900));
            numbers.shell.stalls = times;
            all.push(numbers);
        }
        render(&Numbers { shards: &all, ..Numbers::default() })
    }

    fn running(shards: u16) -> State {
        let mut state = state();
        state.came(Ok(snapshot(0.0, &page(shards, 1))));
        state.came(Ok(snapshot(1.0, &page(shards, 2))));
        state
    }

    fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    fn has(lines: &[String], part: &str) -> bool {
        lines.iter().any(|line| line.contains(part))
    }

    #[test]
    fn what_matters_stands_in_80_by_24() {
        let lines = screen(&running(2), 80, 24);
        let all = lines.join("\n");
        for part in [
            "localhost:9443",
            "every 1 s",
            "connections 10,000",
            "deliveries/s 99,000",
            "stalls",
            "received → acked",
            "writes per commit",
            "rate_limited 6",
            "shed/s       none",
            "threads",
            "1 overview",
            "q quit",
        ] {
            assert!(all.contains(part), "{part} is not in\n{all}");
        }
        let row: Vec<&str> = lines.iter().find(|line| line.starts_with("all ")).unwrap().split_whitespace().collect();
        assert_eq!((row[1], row[5]), ("10,000", "99,000"), "{all}");
        assert!(!lines.last().unwrap().is_empty() && !has(&lines, "further down"), "{all}");
    }

    #[test]
    fn many_shards_are_scrolled_through() {
        let mut state = running(64);
        let lines = screen(&state, 80, 24);
        assert!(has(&lines, "further down") && has(&lines, "received → acked"), "{}", lines.join("\n"));
        state.key(KeyEvent::from(KeyCode::Char('2')));
        for _ in 0..100 {
            state.key(KeyEvent::from(KeyCode::PageDown));
        }
        let lines = screen(&state, 80, 24);
        assert!(has(&lines, "63 ") && has(&lines, "0 further down"), "{}", lines.join("\n"));
    }

    #[test]
    fn it_draws_at_any_size() {
        let mut state = running(3);
        state.away = Some((0.0, "connection refused".to_owned()));
        for key in ['1', '2', '3', '4', '?'] {
            state.key(KeyEvent::from(KeyCode::Char(key)));
            for (width, height) in [(1, 1), (10, 3), (40, 8), (80, 24), (79, 13), (200, 60), (400, 5)] {
                let _ = screen(&state, width, height);
            }
        }
        let _ = screen(&super::super::app::tests::state(), 80, 24);
    }

    #[test]
    fn wide_and_tall_ones_show_more() {
        let lines = screen(&running(2), 160, 40);
        assert!(has(&lines, "rooms") && has(&lines, "deliveries/s, at most 99,000"), "{}", lines.join("\n"));
        assert!(!has(&screen(&running(2), 80, 24), "rooms"));
    }

    #[test]
    fn what_is_wrong_stands_at_the_top() {
        let mut state = running(1);
        state.away = Some((0.0, "connection refused".to_owned()));
        state.now = 12.0;
        assert!(screen(&state, 80, 24)[1].contains("NO ANSWER for 12 s, what is below is old. connection refused"));
        state.away = None;
        state.restarted = Some(10.0);
        assert!(screen(&state, 100, 24)[1].contains("RESTARTED 2 s ago"));
        state.paused = true;
        assert!(screen(&state, 80, 24)[0].contains("PAUSED"));
    }

    #[test]
    fn without_colours_nothing_has_one() {
        let mut state = running(2);
        state.colour = false;
        state.came(Ok(snapshot(2.0, &page(2, 30))));
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        terminal.draw(|frame| draw(frame, &state)).unwrap();
        let cells = &terminal.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        state.colour = true;
        terminal.draw(|frame| draw(frame, &state)).unwrap();
        assert!(terminal.backend().buffer().content.iter().any(|cell| cell.fg == Color::Yellow));
    }
}
