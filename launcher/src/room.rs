//! How much a program can be started with: execve(2), "Limits on size of arguments and
//! environment".

use std::env;

use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
};

use crate::arguments::CommandLine;

/// What is left for variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// For one of them, with its name and its end.
    pub(crate) one: usize,
    /// For all of them, with the pointer to each.
    pub(crate) all: usize,
}

impl Room {
    /// What is left beside a command and the environment that is there already.
    pub(crate) fn beside(command: &CommandLine) -> Self {
        let words = [&command.program].into_iter().chain(&command.arguments);
        let words = words.map(|word| cost(word.len()));
        let variables = env::vars_os().map(|(name, value)| cost(name.len() + 1 + value.len()));
        let taken: usize = words.chain(variables).sum();
        Self {
            one: page_size() * PAGES_FOR_ONE,
            all: limit(getrlimit(Resource::Stack).current)
                .saturating_sub(taken + 3 * cost(PATH_MAX)),
        }
    }
}

/// What a string of this length takes, with its end and the pointer to it.
pub(crate) fn cost(length: usize) -> usize {
    length + 1 + size_of::<usize>()
}

/// The kernel's own rule: a quarter of the stack, within bounds.
fn limit(stack: Option<u64>) -> usize {
    let quarter = stack.map_or(MOST, |stack| stack / 4);
    usize::try_from(quarter.clamp(LEAST, MOST)).unwrap_or(usize::MAX)
}

/// `MAX_ARG_STRLEN`.
const PAGES_FOR_ONE: usize = 32;

/// `ARG_MAX`: what was always allowed.
const LEAST: u64 = 128 << 10;

/// Three quarters of `_STK_LIM`.
const MOST: u64 = 6 << 20;

/// The path that is found for the program, and those of its interpreter and what that is given.
const PATH_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_rule_has_bounds() {
        assert_eq!(limit(Some(8 << 20)), 2 << 20);
        assert_eq!(limit(Some(16 << 10)), 128 << 10);
        assert_eq!(limit(Some(1 << 30)), 6 << 20);
        assert_eq!(limit(None), 6 << 20);
    }

    #[test]
    fn what_a_command_takes_is_not_left() {
        let command = |length| CommandLine {
            program: "app".into(),
            arguments: vec!["x".repeat(length).into()],
        };
        let difference = Room::beside(&command(0)).all - Room::beside(&command(1000)).all;
        assert_eq!(difference, 1000);
    }
}
