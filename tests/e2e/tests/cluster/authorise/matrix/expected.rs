//! What should come of each cell, written by hand: it calls nothing of SecretVault's own.
//!
//! | letter | means |
//! |---|---|
//! | `+` | released: exactly the entry that was asked for |
//! | `F` | forbidden by the vault's rules, or, elsewhere, missing |
//! | `N` | not found |
//! | `T` | the pod's token proves nothing, or another pod |
//! | `G` | the pod is gone: its token, or the pod itself, is not known any more |
//! | `P` | the pod is not on the agent's node |
//! | `U` | whoever asks shows no token |
//! | `D` | whoever asks is no agent |
//! | `V` | nothing is wrong with who asks: the vault's rules decide, as in [`VAULTS`] |

use super::axes::{Agent, Cell, Place, PodToken, Rule};

/// The letter that a cell must have.
pub(super) fn letter(cell: Cell) -> char {
    match who_asks(cell.token, cell.agent) {
        'V' => of_vault(cell.rule, cell.place),
        other => other,
    }
}

fn who_asks(token: PodToken, agent: Agent) -> char {
    let row = PodToken::ALL.iter().position(|it| *it == token);
    let column = Agent::ALL.iter().position(|it| *it == agent);
    at(CALLERS, row, column)
}

fn of_vault(rule: Rule, place: Place) -> char {
    let row = Rule::ALL.iter().position(|it| *it == rule);
    let column = Place::ALL.iter().position(|it| *it == place);
    at(VAULTS, row, column)
}

fn at(table: &str, row: Option<usize>, column: Option<usize>) -> char {
    let row = table.lines().nth(row.expect("a row"));
    let letters = row.and_then(|row| row.split_once('|'));
    let mut letters = letters.expect("a row").1.split_whitespace();
    let letter = letters.nth(column.expect("a column"));
    letter.and_then(|it| it.chars().next()).expect("a letter")
}

/// Rows: the pod's token. Columns: the agent of the pod's node, of the other node, another account,
/// nobody.
const CALLERS: &str = "\
valid               | V P D U
another pod's       | T T D U
a deleted pod's     | G G D U
another namespace's | T T D U
wrong audience      | T T D U
expired             | T T D U
forged              | T T D U
none                | T T D U";

/// Rows: the vault's rule. Columns: at home, elsewhere, missing at home, missing elsewhere.
const VAULTS: &str = "\
no rule             | + F N F
allows              | + + N F
another account     | F F N F
another namespace   | F F N F
another label       | F F N F
another entry       | F F N F";
