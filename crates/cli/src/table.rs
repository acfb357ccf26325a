//! Tables: a row of headings, three spaces between columns, no borders and nothing cut. The last column is not padded;
//! an empty last cell leaves the padding of the one before it, as Go's tabwriter does.

const GAP: usize = 3;

/// The table as text; rows have a cell for each heading.
pub(crate) fn render(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<String>>()];
    lines.extend(rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()));
    let last = headings.len().saturating_sub(1);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0) + GAP
    };
    let widths: Vec<usize> = (0..last).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if let Some(width) = widths.get(column) {
                text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

/// Line breaks, tabs and terminal escapes in a name would break the table or the terminal.
pub(crate) fn one_line(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["1", "größe", "x"]), row(["100", "", ""]), row(["2", "a\nb", "long cell"])];
        assert_eq!(
            render(&["ID", "NAME", "URI"], &rows),
            "ID    NAME    URI\n1     größe   x\n100           \n2     a b     long cell\n"
        );
        assert_eq!(render(&["NAME"], &[]), "NAME\n");
    }
}
