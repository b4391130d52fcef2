//! Columns.

/// Rows in columns: the first row is the head. Widths count characters as they are seen, without colour codes.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| visible(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(visible(cell)) + 2));
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// Names with their values, the equals signs below each other.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(k, _)| k.len()).max().unwrap_or(0);
    rows.iter().map(|(k, v)| format!("{k:<width$} = {v}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// How many characters are seen: without escape sequences.
fn visible(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_shift_columns() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let text = columns(&[row(&["ID", "Status", "X"]), row(&["1", "\u{1b}[32mrunning\u{1b}[0m", "y"]), row(&["22", "dead", ""])]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "ID  Status   X\n1   running  y\n22  dead");
        assert_eq!(pairs(&[("ID", "a".to_owned()), ("Status", "b".to_owned())]), "ID     = a\nStatus = b");
    }
}
