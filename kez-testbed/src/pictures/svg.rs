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
        for (column, width, style, text) in runs(screen, line, columns) {
            let x = MARGIN + f64::from(column) * COLUMN;
            if let Some(paper) = style.paper {
                let width = f64::from(width) * COLUMN;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{LINE}\" fill=\"{paper}\"/>"
                );
            }
            if !text.trim().is_empty() {
                let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
                let faint = if style.dim { " opacity=\"0.6\"" } else { "" };
                let (y, ink, text) = (y + 13.0, style.ink, escaped(&text));
                let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{ink}\"{weight}{faint}>{text}</text>");
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Takes a line apart into pieces that look alike: where each begins, how many columns it has, and what stands in it.
fn runs(screen: &Screen, line: u16, columns: u16) -> Vec<(u16, u16, Style, String)> {
    let mut runs: Vec<(u16, u16, Style, String)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(line, column) else { continue };
        let style = Style::of(cell);
        let text = match cell.contents() {
            // The second half of what is two columns wide.
            "" if cell.is_wide_continuation() => "",
            "" => " ",
            text => text,
        };
        match runs.last_mut() {
            // What is wide may be drawn with another width, so that what follows begins anew.
            Some((_, width, before, written))
                if *before == style && !cell.is_wide() && !cell.is_wide_continuation() =>
            {
                *width += 1;
                written.push_str(text);
            }
            _ => runs.push((column, 1, style, text.to_owned())),
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
