//! Who may have what.

use secretvault_vault as vault;
use secretvault_vault::{names::is_dns_label, pattern::PatternError};

use super::{ParseError, Problem, error, not_empty};
use crate::access::{AccessRule, LabelExpression, LabelOperator, LabelSelector, NamespaceRule};

/// Reads the rules of a vault's `access` as decisions need them.
///
/// # Errors
/// Names the rule and the field, and what to do.
pub fn parse_access(rules: &[AccessRule]) -> Result<Vec<vault::AccessRule>, ParseError> {
    not_empty("spec.access", rules)?;
    rules
        .iter()
        .enumerate()
        .map(|(index, rule)| parse_rule(index, rule))
        .collect()
}

fn parse_rule(index: usize, rule: &AccessRule) -> Result<vault::AccessRule, ParseError> {
    let field = format!("spec.access[{index}]");
    let namespaces = rule.namespaces.as_ref();
    let namespaces = namespaces.map(|it| parse_namespaces(&format!("{field}.namespaces"), it));
    let pods = rule.pod_selector.as_ref();
    let pods = pods.map(|it| parse_selector(&format!("{field}.podSelector"), it));
    Ok(vault::AccessRule {
        service_accounts: patterns(&field, "serviceAccounts", rule.service_accounts.as_deref())?,
        namespaces: namespaces.transpose()?,
        pod_selector: pods.transpose()?,
        entries: patterns(&field, "entries", rule.entries.as_deref())?,
    })
}

fn parse_namespaces(
    field: &str,
    namespaces: &NamespaceRule,
) -> Result<vault::NamespaceRule, ParseError> {
    if namespaces.names.is_none() && namespaces.selector.is_none() {
        return Err(error(field, Problem::NoNamespaces));
    }
    let names = namespaces.names.as_deref();
    let names = names.map(|it| parse_names(&format!("{field}.names"), it));
    let selector = namespaces.selector.as_ref().map(|selector| {
        let field = format!("{field}.selector");
        if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
            return Err(error(field, Problem::EmptySelector));
        }
        parse_selector(&field, selector)
    });
    Ok(vault::NamespaceRule {
        names: names.transpose()?,
        selector: selector.transpose()?,
    })
}

fn parse_names(field: &str, names: &[String]) -> Result<Vec<String>, ParseError> {
    not_empty(field, names)?;
    match names.iter().position(|name| !is_dns_label(name)) {
        None => Ok(names.to_vec()),
        Some(index) => {
            let namespace = names[index].clone();
            let field = format!("{field}[{index}]");
            Err(error(field, Problem::Namespace { namespace }))
        }
    }
}

pub(super) fn patterns<T: std::str::FromStr<Err = PatternError>>(
    rule: &str,
    name: &str,
    texts: Option<&[String]>,
) -> Result<Option<Vec<T>>, ParseError> {
    let Some(texts) = texts else { return Ok(None) };
    let field = format!("{rule}.{name}");
    not_empty(&field, texts)?;
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        text.parse()
            .map_err(|reason| error(format!("{field}[{index}]"), Problem::Pattern(reason)))
    });
    parsed.collect::<Result<_, _>>().map(Some)
}

fn parse_selector(
    field: &str,
    selector: &LabelSelector,
) -> Result<vault::LabelSelector, ParseError> {
    let expressions = selector
        .match_expressions
        .iter()
        .enumerate()
        .map(|(index, expression)| {
            parse_expression(&format!("{field}.matchExpressions[{index}]"), expression)
        });
    Ok(vault::LabelSelector {
        match_labels: selector.match_labels.clone(),
        match_expressions: expressions.collect::<Result<_, _>>()?,
    })
}

fn parse_expression(
    field: &str,
    expression: &LabelExpression,
) -> Result<vault::Requirement, ParseError> {
    let (operator, name, takes_values) = match expression.operator {
        LabelOperator::DoesNotExist => (vault::Operator::DoesNotExist, "DoesNotExist", false),
        LabelOperator::Exists => (vault::Operator::Exists, "Exists", false),
        LabelOperator::In => (vault::Operator::In, "In", true),
        LabelOperator::NotIn => (vault::Operator::NotIn, "NotIn", true),
    };
    if takes_values == expression.values.is_empty() {
        let needs = if takes_values {
            "needs at least one value"
        } else {
            "takes no values"
        };
        let problem = Problem::LabelValues {
            operator: name,
            needs,
        };
        return Err(error(format!("{field}.values"), problem));
    }
    Ok(vault::Requirement {
        key: expression.key.clone(),
        operator,
        values: expression.values.clone(),
    })
}
