//! Where lines go.

use std::io::{self, Write};

/// Takes lines, each as a whole or not at all.
pub(super) trait Sink: Send {
    /// Appends a line, and its line break.
    ///
    /// # Errors
    /// The line is not written; what is there stays.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
}

/// A stream, of which nothing can be taken back: standard output.
pub(super) struct Stream<W> {
    out: W,
    /// A part of a line may be there: the next one begins on a line of its own.
    torn: bool,
}

impl<W: Write + Send> Stream<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, torn: false }
    }
}

impl<W: Write + Send> Sink for Stream<W> {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = bytes(line, self.torn);
        let written = self.out.write_all(&bytes);
        let written = written.and_then(|()| self.out.flush());
        self.torn = written.is_err();
        written
    }
}

/// A line as it is written: with one call, so that nobody else's can come between.
pub(super) fn bytes(line: &[u8], torn: bool) -> Vec<u8> {
    let before: &[u8] = if torn { b"\n" } else { b"" };
    [before, line, b"\n"].concat()
}
