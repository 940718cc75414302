//! How a screen is drawn.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    text::Line,
    widgets::Clear,
};

use super::{
    composer::Purpose,
    palette::Look,
    rows::{self, Manner},
    screen::Screen,
    wrap::{fit, width, wrap},
};

/// Below this nothing of use can be shown.
const LEAST_COLUMNS: u16 = 20;
const LEAST_LINES: u16 = 5;
const PROMPT: &str = "> ";
/// How many lines what is wrong may take, and what is under way.
const MOST_WARNINGS: usize = 3;
const MOST_PROGRESS: usize = 3;
const HINTS: &str = "Enter sends · Alt-Enter new line · PageUp scrolls · /help · Ctrl-C ends";

/// Where the parts of a screen are.
pub(crate) struct Areas {
    title: Rect,
    warnings: Rect,
    pub(crate) view: Rect,
    progress: Rect,
    purpose: Rect,
    input: Rect,
    status: Rect,
}

/// Divides a screen: what is written goes before what is read, which goes before the rest.
pub(crate) fn areas(screen: &Screen, area: Rect) -> Areas {
    let columns = usize::from(area.width);
    let mut free = area.height.saturating_sub(3);
    let mut take = |wanted: usize, kept: u16| {
        let taken = u16::try_from(wanted).unwrap_or(u16::MAX).min(free.saturating_sub(kept));
        free -= taken;
        taken
    };
    let input = 1 + take(screen.composer.height(columns.saturating_sub(PROMPT.len())) - 1, 1);
    let purpose = take(usize::from(screen.composer.purpose != Purpose::New), 1);
    let warnings = take(warnings(screen, columns).len(), 2);
    let progress = take(screen.under_way.len().min(MOST_PROGRESS), 2);
    let heights = [1, warnings, free, progress, purpose, input, 1];
    let [title, warnings, view, progress, purpose, input, status] =
        Layout::vertical(heights.map(Constraint::Length)).areas(area);
    Areas { title, warnings, view, progress, purpose, input, status }
}

/// Draws a screen.
pub(crate) fn draw(screen: &Screen, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < LEAST_COLUMNS || area.height < LEAST_LINES {
        let lines = wrap("the terminal is too small", area.width.into(), area.width.into());
        return lines_at(frame, area, lines.into_iter().map(Line::from).collect());
    }
    let areas = areas(screen, area);
    let (columns, palette) = (usize::from(area.width), screen.setting().palette);
    let styled = |text: String, look| Line::styled(text, palette.style(look));

    lines_at(frame, areas.title, vec![styled(title(screen, columns), Look::Bar)]);
    let warned = warnings(screen, columns).into_iter().map(|line| styled(line, Look::Alarm)).collect();
    lines_at(frame, areas.warnings, warned);

    let lines = screen
        .scrollback
        .view(areas.view.height.into(), &Manner { columns: areas.view.width.into(), setting: screen.setting() });
    // A short conversation stands just above what is being written.
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(areas.view.height);
    let view = Rect { y: areas.view.bottom() - height, height, ..areas.view };
    lines_at(frame, view, lines);

    let progress = screen.under_way.values().map(|files| styled(fit(&files.text(), columns), Look::Mark));
    lines_at(frame, areas.progress, progress.collect());
    if let Some(purpose) = purpose(screen) {
        lines_at(frame, areas.purpose, vec![styled(fit(&purpose, columns), Look::Mark)]);
    }
    draw_input(screen, frame, areas.input);
    lines_at(frame, areas.status, vec![styled(fit(&status(screen), columns), Look::Faint)]);
}

fn draw_input(screen: &Screen, frame: &mut Frame<'_>, area: Rect) {
    let [prompt, input] = Layout::horizontal([Constraint::Length(PROMPT.len() as u16), Constraint::Min(1)]).areas(area);
    lines_at(frame, prompt, vec![Line::styled(PROMPT, screen.setting().palette.style(Look::Own))]);
    let text = screen.composer.area();
    frame.render_widget(text, input);
    let mut unscrolled = None;
    if text.scroll_offset().0 > 0 {
        let text = unscrolled.insert(screen.composer.unscrolled());
        frame.render_widget(Clear, input);
        frame.render_widget(&*text, input);
    }
    let text = unscrolled.as_ref().unwrap_or(text);
    let (cursor, (top, _)) = (text.screen_cursor(), text.scroll_offset());
    let column = u16::try_from(cursor.col).unwrap_or(u16::MAX).min(input.width.saturating_sub(1));
    let line = u16::try_from(cursor.row.saturating_sub(top.into())).unwrap_or(u16::MAX);
    if line < input.height {
        frame.set_cursor_position(Position::new(input.x + column, input.y + line));
    }
}

fn lines_at(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    for (line, area) in lines.into_iter().zip(area.rows()) {
        frame.render_widget(line, area);
    }
}

/// The first line: the peer, and whether they are there.
fn title(screen: &Screen, columns: usize) -> String {
    let title = fit(&format!(" {} · {}", screen.setting().peer, screen.presence_text()), columns);
    // It is a bar, also where there is nothing but blanks.
    format!("{title}{}", " ".repeat(columns.saturating_sub(width(&title))))
}

fn warnings(screen: &Screen, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> =
        screen.warnings().iter().flat_map(|warning| wrap(&format!("! {warning}"), columns, columns)).collect();
    lines.truncate(MOST_WARNINGS);
    lines
}

/// Says what becomes of what is written, if it is no new message.
fn purpose(screen: &Screen) -> Option<String> {
    match screen.composer.purpose {
        Purpose::New => None,
        Purpose::Edit(_) => Some("changing your message; Enter sends the new wording, Esc leaves it".to_owned()),
        Purpose::Answer(place) => {
            let quoted = screen.scrollback.at(place);
            let quoted = quoted.map(|message| rows::quotation(message, screen.setting())).unwrap_or_default();
            Some(format!("answering (Esc leaves it) {quoted}"))
        }
    }
}

fn status(screen: &Screen) -> String {
    if let Some(status) = &screen.status {
        return status.clone();
    }
    if screen.unaccepted > 0 {
        return format!("{} on the way to be kept", screen.unaccepted);
    }
    screen.below().unwrap_or_else(|| HINTS.to_owned())
}
