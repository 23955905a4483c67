//! Columns: the `=` of lines that follow each other, then the comments behind them.

use super::Line;

/// Aligns both. Comments come second, because aligning `=` moves them.
pub(super) fn align(lines: &mut [Line<'_>]) {
    align_column(lines, |line| line.assign);
    align_column(lines, |line| line.comment);
}

/// Brings a word of each line into one column with those of its neighbours, one space behind the longest text before it.
fn align_column(lines: &mut [Line<'_>], column: impl Fn(&Line<'_>) -> Option<usize>) {
    let together = |line: &Line<'_>, next: &Line<'_>| column(line).is_some() && column(next).is_some();
    for run in lines.chunk_by_mut(together) {
        let widest = run
            .iter()
            .filter_map(|line| Some(line.columns_before(column(line)?)))
            .max()
            .unwrap_or(0);
        for line in run {
            let Some(index) = column(line) else { continue };
            let width = line.columns_before(index);
            if let Some(word) = line.words.get_mut(index) {
                word.space = widest - width + 1;
            }
        }
    }
}
