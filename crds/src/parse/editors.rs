//! Who may write which entry.

use secretvault_vault as vault;

use super::{ParseError, Problem, access::patterns, error, not_empty};
use crate::editors::{EditVerb, EditorRule};
use crate::secret_vault::SecretVaultSpec;

impl SecretVaultSpec {
    /// Reads who may write which entry. None: whoever may update the object. Pods need none of this,
    /// so it is no part of [`parse`](crate::SecretVault::parse).
    ///
    /// # Errors
    /// Names the field and what to do.
    pub fn parse_editors(&self) -> Result<Option<Vec<vault::EditorRule>>, ParseError> {
        let Some(rules) = &self.editors else {
            return Ok(None);
        };
        not_empty("spec.editors", rules)?;
        let rules = rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| parse_rule(index, rule));
        rules.collect::<Result<_, _>>().map(Some)
    }
}

fn parse_rule(index: usize, rule: &EditorRule) -> Result<vault::EditorRule, ParseError> {
    let field = format!("spec.editors[{index}]");
    let EditorRule {
        description: _,
        users,
        groups,
        service_accounts,
        verbs,
        entries,
    } = rule;
    if users.is_none() && groups.is_none() && service_accounts.is_none() {
        return Err(error(field, Problem::NobodyNamed));
    }
    not_empty(&format!("{field}.verbs"), verbs)?;
    Ok(vault::EditorRule {
        users: names(&field, "users", users.as_deref())?,
        groups: names(&field, "groups", groups.as_deref())?,
        service_accounts: accounts(&field, service_accounts.as_deref())?,
        verbs: verbs.iter().copied().map(vault::EditVerb::from).collect(),
        entries: patterns(&field, "entries", entries.as_deref())?,
    })
}

fn names(rule: &str, name: &str, names: Option<&[String]>) -> Result<Vec<String>, ParseError> {
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    let field = format!("{rule}.{name}");
    not_empty(&field, names)?;
    match names.iter().position(String::is_empty) {
        None => Ok(names.to_vec()),
        Some(index) => Err(error(format!("{field}[{index}]"), Problem::Missing)),
    }
}

fn accounts(
    rule: &str,
    texts: Option<&[String]>,
) -> Result<Vec<vault::AccountPattern>, ParseError> {
    let Some(texts) = texts else {
        return Ok(Vec::new());
    };
    let field = format!("{rule}.serviceAccounts");
    not_empty(&field, texts)?;
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        text.parse()
            .map_err(|reason| error(format!("{field}[{index}]"), Problem::Account(reason)))
    });
    parsed.collect()
}

impl From<EditVerb> for vault::EditVerb {
    fn from(verb: EditVerb) -> Self {
        match verb {
            EditVerb::Create => Self::Create,
            EditVerb::Delete => Self::Delete,
            EditVerb::Update => Self::Update,
        }
    }
}
