//! What other engines answered, and how fast, as `tests/benches/compare/compare.py` wrote it.

use std::{error::Error, fs};

use serde_json::Value;

use super::question::Asked;
use crate::{
    harness::workspace,
    workload::{Size, Workload},
};

/// The comparison with this workload; in words, why there is none.
fn compared(load: &Workload) -> Result<Value, String> {
    let text = fs::read_to_string(workspace().join("target/compare.json"))
        .map_err(|_| "there is no target/compare.json; run tests/benches/compare/compare.py".to_owned())?;
    let compared: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let Size { units, indicators, quarters, seed } = load.size;
    let ours = serde_json::json!({"units": units, "indicators": indicators, "quarters": quarters, "seed": seed});
    if compared["workload"] == ours {
        Ok(compared)
    } else {
        Err("target/compare.json is of another workload".to_owned())
    }
}

/// The engine that answers a question first, and after how many nanoseconds; in words, why that is not known.
///
/// # Errors
/// As said.
pub fn fastest(load: &Workload, question: &str) -> Result<(String, u64), String> {
    let compared = compared(load)?;
    let engines = compared["engines"].as_object().ok_or("target/compare.json has no engines")?;
    let times = engines.iter().filter_map(|(name, engine)| Some((name.clone(), engine["ns"][question].as_u64()?)));
    times.min_by_key(|(_, nanos)| *nanos).ok_or_else(|| format!("target/compare.json has no {question}"))
}

/// Compares what they answered with what has to be answered. Inside: in words, why there is nothing to compare.
///
/// # Errors
/// The first question that they answer otherwise.
pub fn check(load: &Workload, questions: &[Asked]) -> Result<Result<(), String>, Box<dyn Error>> {
    let compared = match compared(load) {
        Ok(compared) => compared,
        Err(why) => return Ok(Err(why)),
    };
    for asked in questions {
        let row = |(group, numbers): &(String, Vec<i64>)| {
            let group = std::iter::once(Value::from(group.as_str()));
            group.chain(numbers.iter().map(|number| Value::from(*number))).collect::<Value>()
        };
        let ours: Value = asked.expected.iter().map(row).collect();
        if compared["answers"][asked.name] != ours {
            return Err(format!("the other engines answer {} otherwise", asked.name).into());
        }
    }
    Ok(Ok(()))
}
