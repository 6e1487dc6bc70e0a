//! What a command prints: pages and JSON to standard output, everything else to standard error.

use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use super::{
    failure::{BROKEN, Failure},
    page::Look,
    text::plain,
};

/// Columns that are used at most: longer lines are hard to read.
const WIDTH_MAX: usize = 160;
/// Columns that are used at least.
const WIDTH_MIN: usize = 60;

/// Standard output and error.
pub(crate) struct Output {
    look: Look,
    out: io::Stdout,
    err: io::Stderr,
    noted: Cell<bool>,
}

impl Output {
    /// Colour and a width only where there is a terminal: what goes into a file or another program is not broken.
    pub(crate) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = || terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        let look = Look {
            width: if terminal {
                columns().clamp(WIDTH_MIN, WIDTH_MAX)
            } else {
                usize::MAX
            },
            colour: terminal && wants_colour(),
        };
        Self {
            look,
            out: io::stdout(),
            err: io::stderr(),
            noted: Cell::new(false),
        }
    }

    /// How pages look here.
    pub(crate) fn look(&self) -> Look {
        self.look
    }

    /// Prints a page that is harmless already.
    pub(crate) fn page(&self, page: &str) -> Result<(), Failure> {
        self.write(page.as_bytes())
    }

    /// Prints JSON as it came. It is not made harmless: whoever asks for it gets what was said, and JSON has no raw control
    /// characters.
    pub(crate) fn json(&self, body: &[u8]) -> Result<(), Failure> {
        self.write(body)?;
        if body.last() == Some(&b'\n') {
            Ok(())
        } else {
            self.write(b"\n")
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = self.out.lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Failure::quiet(),
                _ => Failure::new(BROKEN, format!("write the output: {error}")),
            })
    }

    /// Tells something beside the answer.
    pub(crate) fn note(&self, text: &str) {
        // When even this cannot be written there is nobody to tell.
        let _ = writeln!(self.err.lock(), "watchkeep: {}", plain(text));
    }

    /// The same, but only once in a command: where answers come from holds for all of them.
    pub(crate) fn note_once(&self, text: &str) {
        if !self.noted.replace(true) {
            self.note(text);
        }
    }

    /// Tells why a command failed.
    pub(crate) fn failed(&self, failure: &Failure) -> ExitCode {
        if !failure.what.is_empty() {
            let text = if self.err.is_terminal() {
                failure.text()
            } else {
                failure.within(usize::MAX)
            };
            let _ = writeln!(self.err.lock(), "{text}");
        }
        ExitCode::from(failure.code)
    }
}

/// Source: <https://no-color.org>.
#[expect(
    clippy::disallowed_methods,
    reason = "whether colours are wanted stands in the environment by convention"
)]
fn wants_colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
