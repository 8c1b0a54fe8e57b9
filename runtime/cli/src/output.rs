//! What a command prints: data on stdout, progress and diagnostics on stderr; JSON for programs, tables for people.

use std::io::{IsTerminal, Write};

use lockstep_core::json::Json;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// A style that shows on terminals only.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Bold,
    Dim,
    Good,
    Bad,
}

impl Output {
    /// Whether stdout takes colour.
    pub(crate) fn colour(self) -> bool {
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    pub(crate) fn styled(self, style: Style, text: &str) -> String {
        if !self.colour() {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Prints a line for people; nothing where JSON is asked for.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        if !self.json {
            self.raw(text.as_ref());
        }
    }

    /// Prints the command's one document where JSON is asked for.
    pub(crate) fn document(self, json: &Json) {
        if self.json {
            self.raw(&json.canonical());
        }
    }

    /// Prints a line whatever is asked for.
    pub(crate) fn raw(self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        // A reader that has gone away, such as `head`, wants no more.
        if writeln!(stdout, "{text}").is_err() {
            std::process::exit(0);
        }
    }

    /// Says something beside the data.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            eprintln!("{}", text.as_ref());
        }
    }

    /// A table that fits the terminal, with a header; long cells are cut.
    pub(crate) fn table(self, header: &[&str], rows: &[Vec<String>]) {
        if self.json {
            return;
        }
        let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        fit(&mut widths, terminal_width());
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<String> = cells
                .zip(&widths)
                .map(|(cell, width)| format!("{:width$}", cut(cell, *width), width = *width))
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.raw(&self.styled(Style::Bold, &line(&mut header.iter().copied())));
        for row in rows {
            self.raw(&line(&mut row.iter().map(String::as_str)));
        }
    }
}

fn terminal_width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(120)
}

/// Narrows the widest columns until all fit.
fn fit(widths: &mut [usize], total: usize) {
    let gaps = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > total {
        let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > 8) else { return };
        *widest -= 1;
    }
}

/// One line of at most `width` characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if flat.chars().count() <= width {
        return flat;
    }
    let mut short: String = flat.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}
