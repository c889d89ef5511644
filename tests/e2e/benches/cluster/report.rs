//! The report: Markdown, so that it can be kept beside the documentation.

use std::fmt::Display;

use crate::say;

/// What was measured, in the order in which it was.
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn begin() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            text: format!(
                "{HEAD}\nThis run: {cores} cores, Linux {}, two nodes on one machine, operator with two replicas.\n",
                kernel.trim()
            ),
        }
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, title: &str, words: &str) {
        say(&format!("measuring: {title}"));
        self.text.push_str(&format!("\n## {title}\n\n{words}\n"));
    }

    /// Begins a table.
    pub(crate) fn table(&mut self, columns: &[&str]) {
        let rule = vec!["---"; columns.len()];
        self.text.push('\n');
        self.row(columns);
        self.row(&rule);
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[impl Display]) {
        for cell in cells {
            self.text.push_str(&format!("| {cell} "));
        }
        self.text.push_str("|\n");
    }

    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }
}

const HEAD: &str = "\
# Benchmarks

Made by `make bench`, on the cluster of the tests. Machines differ and this one is shared: compare the ratios, which are of one run, and not
the times of two runs. Percentiles are by nearest rank. [performance.md](performance.md) says what bounds these numbers.
";
