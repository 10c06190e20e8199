//! Notices a connection whose reader does not take its unary answers, which would keep their places for ever.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The unary answers of one connection that have not been taken yet, counted by the period in which they began.
#[derive(Debug, Default)]
pub struct Answers {
    /// The number of this period modulo their count.
    now: AtomicUsize,
    open: [AtomicUsize; 3],
}

/// An answer that has not been taken yet.
#[derive(Debug)]
pub(super) struct Answer {
    answers: Arc<Answers>,
    period: usize,
}

impl Answers {
    /// Counts an answer until it is dropped.
    pub(super) fn begin(self: Arc<Self>) -> Answer {
        let period = self.now.load(Ordering::Relaxed);
        self.open[period].fetch_add(1, Ordering::Relaxed);
        Answer { answers: self, period }
    }

    /// Begins a new period; says whether an answer has been open for all of the last one.
    pub fn next_period(&self) -> bool {
        let next = (self.now.load(Ordering::Relaxed) + 1) % 3;
        self.now.store(next, Ordering::Relaxed);
        // The period after `next` is the one before the last.
        self.open[(next + 1) % 3].load(Ordering::Relaxed) > 0
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.answers.open[self.period].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_noticed_when_it_has_been_open_for_a_whole_period() {
        let answers = Arc::new(Answers::default());
        let first = answers.clone().begin();
        assert!(!answers.next_period(), "it began in the middle of the last one");
        let second = answers.clone().begin();
        assert!(answers.next_period());
        drop(first);
        assert!(answers.next_period(), "the second one");
        drop(second);
        assert!(!answers.next_period());
    }
}
