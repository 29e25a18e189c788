//! The terminal that `fanlight watch` draws on, given back as it was.

use std::io::{self, IsTerminal as _, Write};

/// A screen of its own on a terminal; without one, lines.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
}

impl Screen {
    /// Takes the terminal, if stdout is one that can be drawn on.
    ///
    /// # Errors
    /// Stdout is closed.
    pub(super) fn open() -> io::Result<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let screen = Self { terminal };
        if terminal {
            screen.write(ENTER)?;
        }
        Ok(screen)
    }

    /// Whether pages are drawn rather than lines printed.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Draws a page over the one before.
    ///
    /// # Errors
    /// Stdout is closed.
    pub(super) fn page(&self, page: &str) -> io::Result<()> {
        let page = page.trim_end().replace('\n', "\x1b[K\r\n");
        self.write(&format!("\x1b[H{page}\x1b[J"))
    }

    /// Prints a line.
    ///
    /// # Errors
    /// Stdout is closed.
    pub(super) fn line(&self, line: &str) -> io::Result<()> {
        self.write(&format!("{line}\n"))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            // Where it cannot be written to there is nobody to see it.
            let _ = self.write(LEAVE);
        }
    }
}

/// The other screen, no cursor, no wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
