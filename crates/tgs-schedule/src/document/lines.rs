//! Line numbers of a text.

use std::ops::Range;

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct DocumentLines(Vec<usize>);

impl DocumentLines {
    pub(super) fn of(text: &str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after).collect())
    }

    /// The line of a span's beginning, from 1; the first one without a span.
    pub(super) fn number(&self, span: Option<Range<usize>>) -> usize {
        let at = span.map_or(0, |span| span.start);
        self.0.partition_point(|begin| *begin <= at).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_after_their_newline() {
        let lines = DocumentLines::of("ab\n\ncd");
        let numbers = [0, 2, 3, 4, 6, 99].map(|at| lines.number(Some(at..at)));
        assert_eq!((numbers, lines.number(None)), ([1, 1, 2, 3, 3, 3], 1));
    }
}
