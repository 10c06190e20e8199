//! Goals, and what of them was reached.

use std::{error::Error, fmt, fs, path::Path};

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

/// A number in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(u64);

impl Milli {
    /// A whole number.
    pub fn whole(number: u64) -> Self {
        Self(number.saturating_mul(1000))
    }

    /// A number of thousandths.
    pub const fn thousandths(number: u64) -> Self {
        Self(number)
    }

    /// One number over another; 0 over 0 is 0.
    pub fn ratio(numerator: impl Into<u128>, denominator: impl Into<u128>) -> Self {
        let thousandths = numerator.into() * 1000 / denominator.into().max(1);
        Self(u64::try_from(thousandths).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{rest:03}") }
    }
}

/// How what was measured has to stand to its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Not above it.
    AtMost(Milli),
    /// Not below it.
    AtLeast(Milli),
}

/// One goal.
#[derive(Clone, Debug)]
struct Goal {
    name: String,
    measured: Result<Milli, String>,
    bound: Bound,
    unit: &'static str,
    detail: String,
}

impl Goal {
    fn holds(&self) -> bool {
        match (&self.measured, self.bound) {
            (Ok(measured), Bound::AtMost(bound)) => *measured <= bound,
            (Ok(measured), Bound::AtLeast(bound)) => *measured >= bound,
            (Err(_), _) => false,
        }
    }
}

/// Every goal, in the order in which it was measured, and figures that are no goals.
#[derive(Debug, Default)]
pub struct Goals {
    goals: Vec<Goal>,
}

impl Goals {
    /// Notes what was measured for a goal; `detail` has the absolute values.
    pub fn measured(
        &mut self,
        name: impl Into<String>,
        measured: Milli,
        bound: Bound,
        unit: &'static str,
        detail: String,
    ) {
        self.push(Goal { name: name.into(), measured: Ok(measured), bound, unit, detail });
    }

    /// Notes that a goal could not be measured, and why. It does not hold.
    pub fn unmeasured(&mut self, name: impl Into<String>, bound: Bound, unit: &'static str, why: &str) {
        self.push(Goal { name: name.into(), measured: Err(why.to_owned()), bound, unit, detail: String::new() });
    }

    fn push(&mut self, goal: Goal) {
        let measured = goal.measured.as_ref().map_or_else(|why| format!("not measured: {why}"), Milli::to_string);
        println!("  {}: {measured} {}  ({})", goal.name, goal.unit, goal.detail);
        self.goals.push(goal);
    }

    /// The whole as a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header(["goal", "measured", "bound", "unit", "holds", "absolute"]);
        for goal in &self.goals {
            let bound = match goal.bound {
                Bound::AtMost(bound) => format!("≤ {bound}"),
                Bound::AtLeast(bound) => format!("≥ {bound}"),
            };
            let measured = goal.measured.as_ref().map_or_else(|why| format!("– ({why})"), Milli::to_string);
            let holds = if goal.holds() { "yes" } else { "no" };
            table.add_row([&goal.name, &measured, &bound, goal.unit, holds, &goal.detail]);
        }
        table
    }

    /// Writes the whole as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let number = |milli: Milli| milli.to_string().parse::<serde_json::Number>();
        let row = |goal: &Goal| -> Result<serde_json::Value, serde_json::Error> {
            let (Bound::AtMost(bound) | Bound::AtLeast(bound)) = goal.bound;
            Ok(serde_json::json!({
                "goal": goal.name,
                "measured": goal.measured.as_ref().ok().map(|measured| number(*measured)).transpose()?,
                "bound": number(bound)?,
                "unit": goal.unit,
                "holds": goal.holds(),
            }))
        };
        let rows = self.goals.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        fs::write(path, format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
        Ok(())
    }
}
