//! Who calls, and what he may do and see.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::ids::UnitId;

/// What somebody does here. Which calls a role may make says the table of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Submits and withdraws reports.
    Reporter,
    /// Reads reports, what was found in them, and answers.
    Reviewer,
    /// Asks questions.
    Analyst,
    /// Follows the log: a query-service.
    Replica,
    /// Keeps the register, and may do everything else.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Reporter, Self::Reviewer, Self::Analyst, Self::Replica, Self::Admin];

    /// As files and tokens write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reporter => "reporter",
            Self::Reviewer => "reviewer",
            Self::Analyst => "analyst",
            Self::Replica => "replica",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| {
            format!("there is no role {text:?}; there are reporter, reviewer, analyst, replica and admin")
        })
    }
}

/// What somebody may see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything, units that are not registered included.
    Everything,
    /// These units and what stands below them. None of them has to be registered.
    Under(Arc<BTreeSet<UnitId>>),
}

impl Scope {
    /// The word for everything where units are listed.
    pub const EVERYTHING: &str = "*";

    /// Nothing at all.
    pub fn nothing() -> Self {
        Self::Under(Arc::default())
    }

    /// As files and tokens list it: units, or `*` alone.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn of_list<T: AsRef<str>>(units: &[T]) -> Result<Self, String> {
        if let [only] = units
            && only.as_ref() == Self::EVERYTHING
        {
            return Ok(Self::Everything);
        }
        let unit = |unit: &T| {
            let unit = unit.as_ref();
            unit.parse().map_err(|fault| format!("units: {unit:?}: {fault}; \"*\" stands alone"))
        };
        units.iter().map(unit).collect::<Result<BTreeSet<UnitId>, String>>().map(|units| Self::Under(Arc::new(units)))
    }

    /// Whether nothing is hidden.
    pub fn is_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// The units at its top; none if nothing is hidden.
    pub fn tops(&self) -> impl Iterator<Item = &UnitId> {
        let tops = match self {
            Self::Everything => None,
            Self::Under(tops) => Some(tops.iter()),
        };
        tops.into_iter().flatten()
    }
}

/// Who calls. Whoever is not asked who he is has no name and may do everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As entries of the log and the audit log call him.
    pub name: SmolStr,
    /// What he does.
    pub roles: BTreeSet<Role>,
    /// What he may see and speak for.
    pub scope: Scope,
    /// When his token ends.
    pub until: Option<Timestamp>,
}

impl Caller {
    /// Whoever calls a service that asks nobody who he is.
    pub fn unasked() -> Self {
        Self { name: SmolStr::default(), roles: Role::ALL.into(), scope: Scope::Everything, until: None }
    }

    /// Whoever may do nothing: where it is not known who calls.
    pub fn nobody() -> Self {
        Self { name: SmolStr::default(), roles: BTreeSet::new(), scope: Scope::nothing(), until: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said_alone_and_nothing_is_the_default() {
        assert_eq!(Scope::of_list(&["*"]), Ok(Scope::Everything));
        assert_eq!(Scope::of_list::<&str>(&[]), Ok(Scope::nothing()));
        assert!(Scope::of_list(&["*", "a"]).is_err());
        assert!(Scope::of_list(&["A"]).is_err());
        let tops: Vec<String> = Scope::of_list(&["b", "a"]).unwrap().tops().map(ToString::to_string).collect();
        assert_eq!(tops, ["a", "b"]);
        assert!(Caller::nobody().roles.is_empty() && !Caller::nobody().scope.is_everything());
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err() && "Admin".parse::<Role>().is_err());
    }
}
