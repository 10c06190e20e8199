//! Places where a test makes a service die, wait, or misbehave. A release binary has none of them.
//!
//! A place does nothing until somebody configures it, in the words of the crate `fail`: `synced=7*off->return` makes the
//! process die, as by `kill -9`, when it comes to `synced` for the eighth time; `synced=sleep(5000)` makes it wait there.
//! A bug is planted with `return`, too: `drop_fdatasync=return`.

/// The process comes to this place. With the action `return` it goes no further: it is killed here and now.
#[inline]
pub fn reach(place: &str) {
    #[cfg(debug_assertions)]
    if is_planted(place) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way.
        loop {
            std::thread::park();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// Whether a test has planted this bug; never in a release binary.
#[inline]
pub fn is_planted(bug: &str) -> bool {
    #[cfg(debug_assertions)]
    {
        fail::eval(bug, |_| ()).is_some()
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = bug;
        false
    }
}

/// Sets what happens where: `place=action;place=action`.
///
/// # Errors
/// What cannot be understood, in words.
#[cfg(debug_assertions)]
pub fn configure(actions: &str) -> Result<(), String> {
    for action in actions.split(';').filter(|action| !action.is_empty()) {
        let (place, action) = action.split_once('=').ok_or_else(|| format!("{action} is not place=action"))?;
        fail::cfg(place, action)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_planted_where_it_was_configured_and_when() {
        assert!(!is_planted("one"));
        configure("one=2*off->return;two=off").unwrap();
        assert_eq!([(); 4].map(|()| is_planted("one")), [false, false, true, true]);
        assert!(!is_planted("two"));
        assert!(configure("one").is_err() && configure("one=what").is_err());
    }
}
