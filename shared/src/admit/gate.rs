//! Turns at work that needs a core: as many at once as there are cores, and a queue that is bounded in number and in time.
//!
//! Turns go in the order of arrival. Once somebody has waited half of the longest time, the newest gets the next turn: whoever
//! has waited long is about to give up, and an answer to a caller that gives up is work for nobody.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    metrics::count_shed,
    model::fault::{Fault, Reason},
};

/// Hands out turns.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    waiting_max: usize,
    wait_max: Duration,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// In the order of arrival. Those who have left by themselves stand here until their turn, or until room is needed.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    turn: oneshot::Sender<Turn>,
}

/// The right to work; it goes to the next when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    gate: Option<Arc<Gate>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.hand_on();
        }
    }
}

impl Gate {
    /// `turns` at once; `waiting_max` wait for at most `wait_max`.
    pub(super) fn new(turns: usize, waiting_max: usize, wait_max: Duration) -> Arc<Self> {
        let state = State { free: turns.max(1), waiting: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state), waiting_max, wait_max })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `Overloaded` after the longest wait, or when too many wait that came later.
    pub(super) async fn turn(self: &Arc<Self>) -> Result<Turn, Fault> {
        let turn = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn { gate: Some(self.clone()) });
            }
            if self.waiting_max == 0 {
                return Err(self.overloaded());
            }
            while state.waiting.front().is_some_and(|waiting| waiting.turn.is_closed()) {
                state.waiting.pop_front();
            }
            if state.waiting.len() >= self.waiting_max {
                // Dropping it tells the one who waits.
                state.waiting.pop_front();
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.push_back(Waiting { since: Instant::now(), turn: sender });
            turn
        };
        match tokio::time::timeout(self.wait_max, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    /// Gives a turn that has become free to the next.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                let next = self.next(&mut state.waiting);
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            // Outside the lock: a turn that nobody takes must not come back here while it is held.
            match next.turn.send(Turn { gate: Some(self.clone()) }) {
                Ok(()) => return,
                Err(mut turn) => turn.gate = None,
            }
        }
    }

    fn next(&self, waiting: &mut VecDeque<Waiting>) -> Option<Waiting> {
        let is_late = waiting.front().is_some_and(|oldest| oldest.since.elapsed() > self.wait_max / 2);
        if is_late { waiting.pop_back() } else { waiting.pop_front() }
    }

    fn overloaded(&self) -> Fault {
        count_shed("queue");
        let message = format!("too many questions wait, or waited {} ms; try again later", self.wait_max.as_millis());
        Fault::new(Reason::Overloaded, message)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everybody who can go on do so.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for a turn, notes its number and gives the turn back.
    fn wait(gate: &Arc<Gate>, number: u32, done: &Arc<Mutex<Vec<u32>>>) -> tokio::task::JoinHandle<Result<(), Fault>> {
        let (gate, done) = (gate.clone(), done.clone());
        tokio::spawn(async move {
            let _turn = gate.turn().await?;
            done.lock().unwrap().push(number);
            Ok(())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn turns_go_by_arrival_until_somebody_has_waited_half_of_the_longest_time() {
        for (waited, expected) in [(29, [0, 1, 2, 3]), (31, [3, 2, 1, 0])] {
            let gate = Gate::new(1, 4, Duration::from_secs(60));
            let (held, done) = (gate.turn().await.unwrap(), Arc::default());
            for number in 0..4 {
                wait(&gate, number, &done);
                settle().await;
            }
            tokio::time::advance(Duration::from_secs(waited)).await;
            drop(held);
            settle().await;
            assert_eq!(*done.lock().unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn the_one_that_waited_longest_is_refused_when_there_is_no_room_and_everybody_after_the_longest_time() {
        let gate = Gate::new(1, 2, Duration::from_millis(50));
        let (held, done) = (gate.turn().await.unwrap(), Arc::default());
        let mut waiting = Vec::new();
        for number in 0..3 {
            waiting.push(wait(&gate, number, &done));
            settle().await;
        }
        assert_eq!(waiting.remove(0).await.unwrap().unwrap_err().reason, Reason::Overloaded);
        for late in waiting {
            assert_eq!(late.await.unwrap().unwrap_err().reason, Reason::Overloaded);
        }
        drop(held);
        gate.turn().await.unwrap();
        assert!(done.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_has_left_takes_no_turn_and_no_turn_is_lost() {
        let gate = Gate::new(2, 8, Duration::from_secs(60));
        let held = (gate.turn().await.unwrap(), gate.turn().await.unwrap());
        let done = Arc::default();
        let waiting: Vec<_> = (0..6).map(|number| wait(&gate, number, &done)).collect();
        settle().await;
        waiting.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
        settle().await;
        drop(held);
        settle().await;
        let mut done = done.lock().unwrap().clone();
        done.sort_unstable();
        assert_eq!(done, [1, 3, 5]);
        assert_eq!(gate.lock().free, 2);
    }
}
