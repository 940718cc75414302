//! What a terminal shows, as a picture that any browser draws.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

const COLUMN: f64 = 8.4;
const LINE: f64 = 18.0;
const MARGIN: f64 = 14.0;
const TITLE_BAR: f64 = 30.0;
const PAPER: &str = "#1e2127";
const INK: &str = "#d7dae0";
/// The sixteen colours that programs name by number.
const COLOURS: [&str; 16] = [
    "#3f4451", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0", "#6b717d", "#ef8891",
    "#b2d69b", "#f0d399", "#86c2f4", "#d69ae6", "#7fcbd5", "#ffffff",
];

/// How some characters in a row look.
#[derive(Clone, Copy, PartialEq)]
struct Style {
    ink: &'static str,
    paper: Option<&'static str>,
    bold: bool,
    dim: bool,
}

impl Style {
    fn of(cell: &Cell) -> Self {
        let (ink, paper) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        let (bold, dim) = (cell.bold(), cell.dim());
        if cell.inverse() {
            return Self { ink: paper.unwrap_or(PAPER), paper: Some(ink.unwrap_or(INK)), bold, dim };
        }
        Self { ink: ink.unwrap_or(INK), paper, bold, dim }
    }
}

/// Draws a screen in a window with a title.
pub(super) fn draw(screen: &Screen, title: &str) -> String {
    let (lines, columns) = screen.size();
    let (lines, columns) = (lines.get(), columns.get());
    let width = 2.0 * MARGIN + f64::from(columns) * COLUMN;
    let height = TITLE_BAR + 2.0 * MARGIN + f64::from(lines) * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <style>text {{ font: 14px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <text x=\"50%\" y=\"20\" text-anchor=\"middle\" fill=\"#9da5b4\">{}</text>\n",
        escaped(title)
    );
    for line in 0..lines {
        let y = TITLE_BAR + MARGIN + f64::from(line) * LINE;
        for Run { column, width, style, text, is_wide } in runs(screen, line, columns) {
            let x = MARGIN + f64::from(column) * COLUMN;
            if let Some(paper) = style.paper {
                let width = f64::from(width) * COLUMN;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{LINE}\" fill=\"{paper}\"/>"
                );
            }
            let written = text.trim();
            if !written.is_empty() {
                let (ink, columns) = (style.ink, written.chars().count() as f64);
                let before = (text.len() - text.trim_start().len()) as f64;
                let (x, y) = (x + before * COLUMN, y + 13.0);
                let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
                let faint = if style.dim { " opacity=\"0.6\"" } else { "" };
                // Whatever font there is, each piece is as wide as in the terminal.
                let fit = match is_wide {
                    true => String::new(),
                    false => format!(" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"", columns * COLUMN),
                };
                let _ = writeln!(
                    svg,
                    "<text xml:space=\"preserve\" x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{ink}\"{weight}{faint}{fit}>{}</text>",
                    escaped(written)
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A piece of a line that looks alike.
struct Run {
    column: u16,
    width: u16,
    style: Style,
    text: String,
    /// Whether it is one character that is two columns wide.
    is_wide: bool,
}

/// Takes a line apart into pieces that look alike.
fn runs(screen: &Screen, line: u16, columns: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(line, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
        let (style, is_wide) = (Style::of(cell), cell.is_wide());
        let text = if cell.contents().is_empty() { " " } else { cell.contents() };
        match runs.last_mut() {
            Some(run) if run.style == style && !run.is_wide && !is_wide => {
                run.width += 1;
                run.text.push_str(text);
            }
            _ => runs.push(Run { column, width: 1 + u16::from(is_wide), style, text: text.to_owned(), is_wide }),
        }
    }
    runs
}

fn colour(colour: Color) -> Option<&'static str> {
    match colour {
        Color::Idx(index) => COLOURS.get(usize::from(index)).copied(),
        // None of our programs asks for others.
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
