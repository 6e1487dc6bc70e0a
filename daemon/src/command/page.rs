//! A page of text, line by line, each within the width of the terminal.

use super::text::{cut, padded, plain, right, width, wrapped};

/// How a page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns; no limit where there is no terminal.
    pub(crate) width: usize,
    /// Whether words may be coloured.
    pub(crate) colour: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            width: 80,
            colour: false,
        }
    }
}

/// What a word says by its colour; it says the same without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Wrong.
    Bad,
    /// In doubt, or under way.
    Doubt,
    /// Well.
    Good,
    /// Beside the point.
    Quiet,
    /// Neither.
    Plain,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Bad => Some("1;31"),
            Self::Doubt => Some("33"),
            Self::Good => Some("32"),
            Self::Quiet => Some("2"),
            Self::Plain => None,
        }
    }
}

/// Columns of a label.
const LABEL: usize = 10;

/// A page under way. Everything that is added is made harmless here, at the last door.
pub(crate) struct Page {
    look: Look,
    text: String,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            text: String::new(),
        }
    }

    /// Columns of a line.
    pub(crate) fn width(&self) -> usize {
        self.look.width
    }

    /// An empty line, but never two, and none at the top.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// One line, cut at the edge.
    pub(crate) fn line(&mut self, line: &str) {
        self.marked(Tone::Plain, "", line);
    }

    /// One line that begins with a coloured word.
    pub(crate) fn marked(&mut self, tone: Tone, mark: &str, rest: &str) {
        let mark = cut(&plain_blank(mark), self.look.width);
        let rest = cut(&plain(rest), self.look.width.saturating_sub(width(&mark)));
        self.whole(tone, &mark, &rest);
    }

    /// The same, of text that fits already, or must not be cut: a command that is copied.
    pub(crate) fn whole(&mut self, tone: Tone, mark: &str, rest: &str) {
        let (mark, rest) = (plain_blank(mark), plain(rest));
        let line = match tone.code() {
            Some(code) if self.look.colour => format!("\u{1b}[{code}m{mark}\u{1b}[0m{rest}"),
            _ => mark + &rest,
        };
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Text of any length, indented.
    pub(crate) fn wrapped(&mut self, indent: usize, text: &str) {
        self.hanging(Tone::Plain, &" ".repeat(indent), text);
    }

    /// Text of any length behind a lead; its further lines begin under its first.
    pub(crate) fn hanging(&mut self, tone: Tone, lead: &str, text: &str) {
        let columns = width(lead);
        for (place, line) in wrapped(&plain(text), self.look.width.saturating_sub(columns))
            .iter()
            .enumerate()
        {
            match place {
                0 => self.whole(tone, lead, line),
                _ => self.whole(Tone::Plain, &" ".repeat(columns), line),
            }
        }
    }

    /// A label and its text; a label that was just used is left out.
    pub(crate) fn field(&mut self, label: &str, text: &str) {
        self.hanging(Tone::Plain, &padded(label, LABEL), text);
    }

    /// A line of a program, as it was.
    pub(crate) fn quoted(&mut self, text: &str) {
        self.marked(Tone::Quiet, &padded("", LABEL), &format!("| {text}"));
    }

    /// Rows in columns as wide as needed; the last column takes what is left.
    pub(crate) fn table(&mut self, indent: usize, columns: &[Column], rows: &[Vec<String>]) {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| plain(cell)).collect())
            .collect();
        let widest = |at: usize| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| widest(at).min(column.most()))
            .collect();
        for row in &rows {
            let mut line = " ".repeat(indent);
            for ((cell, column), wide) in row.iter().zip(columns).zip(&widths) {
                let cell = match column {
                    Column::Left(_) => padded(cell, *wide),
                    Column::Right(_) => right(cell, *wide),
                    Column::Rest => cell.clone(),
                };
                line.push_str(&cell);
                line.push_str("  ");
            }
            self.line(&line);
        }
    }

    /// The page.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// As [`plain`], but keeps blanks at the end: a lead has them on purpose.
fn plain_blank(text: &str) -> String {
    let blanks = text.len() - text.trim_end_matches(' ').len();
    plain(text) + &" ".repeat(blanks)
}

/// A column and the most it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// Words.
    Left(usize),
    /// Figures.
    Right(usize),
    /// Whatever is left of the line.
    Rest,
}

impl Column {
    fn most(self) -> usize {
        match self {
            Self::Left(most) | Self::Right(most) => most,
            Self::Rest => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_but_a_command_is_within_the_width() {
        let mut page = Page::new(Look {
            width: 24,
            colour: false,
        });
        page.line("a line that is much longer than the width");
        page.field("why", "connection refused by 127.0.0.1:8080 twice");
        page.field("now", "`watchkeep actions allow shop`");
        page.gap();
        page.gap();
        page.table(
            2,
            &[Column::Left(4), Column::Right(5), Column::Rest],
            &[
                vec!["a".to_owned(), "12".to_owned(), "first".to_owned()],
                vec!["longer".to_owned(), "3".to_owned(), "a second that is long".to_owned()],
            ],
        );
        let text = page.finish();
        let expected = "a line that is much lon…\nwhy       connection\n          refused by\n          127.0.0.1:8080\n          twice\nnow       `watchkeep actions allow shop`\n\n  a     12  first\n  lon…   3  a second th…\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn colour_is_added_last_and_only_when_asked_for() {
        let mut page = Page::new(Look {
            width: 20,
            colour: true,
        });
        page.marked(Tone::Bad, "FAIL ", "\u{1b}[32mPASS\u{1b}[0m and more than that");
        assert_eq!(page.finish(), "\u{1b}[1;31mFAIL \u{1b}[0m�[32mPASS�[0m …\n");
        let mut page = Page::new(Look::default());
        page.marked(Tone::Bad, "FAIL ", "shop");
        assert_eq!(page.finish(), "FAIL shop\n");
    }
}
