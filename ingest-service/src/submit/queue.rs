//! What waits for the writer: two lanes, one for calls and one for streams, each with room of its own. The writer takes
//! from both in turn, so that neither waits for the other to be empty.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Calls: for more than this there is no room, and they are refused.
    Calls,
    /// Streams: for more than this there is no room yet.
    Streams,
}

const LANES: usize = 2;
const ROOM: [usize; LANES] = [4096, 1024];

/// What the writer finds.
#[derive(Debug)]
pub(super) enum Next<T> {
    Job(T),
    /// Nothing has come for that long, or the writer was nudged.
    Nothing,
    /// Nothing more comes.
    Closed,
}

/// The queue. Cheap to clone.
#[derive(Debug)]
pub(super) struct Queue<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// The writer waits here.
    arrived: Condvar,
    room: [Arc<Semaphore>; LANES],
}

#[derive(Debug)]
struct State<T> {
    lanes: [VecDeque<(T, OwnedSemaphorePermit)>; LANES],
    /// The lane whose turn it is.
    turn: usize,
    /// The writer is to look around.
    is_nudged: bool,
    /// Finish what is there; nothing more comes.
    is_closed: bool,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { lanes: [VecDeque::new(), VecDeque::new()], turn: 0, is_nudged: false, is_closed: false };
        let room = ROOM.map(|room| Arc::new(Semaphore::new(room)));
        Self { shared: Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new(), room }) }
    }

    /// Room for so many pieces of work in that lane, if there is some.
    pub(super) fn try_room(&self, lane: Lane) -> Option<OwnedSemaphorePermit> {
        self.shared.room[lane as usize].clone().try_acquire_owned().ok()
    }

    /// Room for so many pieces of work in that lane, once there is some.
    pub(super) async fn room(&self, lane: Lane, pieces: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = u32::try_from(pieces.min(ROOM[lane as usize])).ok()?;
        self.shared.room[lane as usize].clone().acquire_many_owned(pieces).await.ok()
    }

    /// Puts a job behind those that wait in its lane. Once the queue is closed it is dropped.
    pub(super) fn push(&self, lane: Lane, job: T, room: OwnedSemaphorePermit) {
        let mut state = self.lock();
        if !state.is_closed {
            state.lanes[lane as usize].push_back((job, room));
            drop(state);
            self.shared.arrived.notify_one();
        }
    }

    /// Finish what is there; nothing more is taken in.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.shared.arrived.notify_one();
    }

    /// Wakes the writer although no job has come.
    pub(super) fn nudge(&self) {
        self.lock().is_nudged = true;
        self.shared.arrived.notify_one();
    }

    /// Drops what waits, and takes nothing more in.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let waiting = state.lanes.each_mut().map(std::mem::take);
        drop(state);
        self.shared.arrived.notify_one();
        drop(waiting);
    }

    /// The next job, from each lane in turn; its room is free again.
    pub(super) fn next(&self, wait: Duration) -> Next<T> {
        let mut state = self.lock();
        let nothing = |state: &mut State<T>| state.is_empty() && !state.is_nudged && !state.is_closed;
        if nothing(&mut state) {
            let waited = self.shared.arrived.wait_timeout_while(state, wait, nothing);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_nudged = false;
        match state.take() {
            Some(job) => Next::Job(job),
            None if state.is_closed => Next::Closed,
            None => Next::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    fn take(&mut self) -> Option<T> {
        let turn = self.turn;
        let lane = (turn..turn + LANES).map(|lane| lane % LANES).find(|lane| !self.lanes[*lane].is_empty())?;
        self.turn = (lane + 1) % LANES;
        self.lanes[lane].pop_front().map(|(job, _room)| job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::ZERO;

    fn jobs(queue: &Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| match queue.next(SOON) {
            Next::Job(job) => Some(job),
            Next::Nothing | Next::Closed => None,
        })
        .collect()
    }

    #[tokio::test]
    async fn lanes_take_turns_and_each_keeps_its_order() {
        let queue = Queue::new();
        for job in 0..5 {
            queue.push(Lane::Streams, job, queue.room(Lane::Streams, 1).await.unwrap());
        }
        for job in 10..12 {
            queue.push(Lane::Calls, job, queue.try_room(Lane::Calls).unwrap());
        }
        assert_eq!(jobs(&queue), [10, 0, 11, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_full_lane_leaves_the_other_its_room() {
        let queue = Queue::new();
        queue.push(Lane::Streams, 1, queue.room(Lane::Streams, usize::MAX).await.unwrap());
        assert!(queue.try_room(Lane::Streams).is_none());
        assert!(queue.try_room(Lane::Calls).is_some());
        assert_eq!(jobs(&queue), [1]);
        assert!(queue.try_room(Lane::Streams).is_some(), "what was taken leaves its room");
    }

    #[tokio::test]
    async fn a_closed_queue_gives_out_what_it_has_and_an_abandoned_one_nothing() {
        let queue = Queue::new();
        queue.push(Lane::Calls, 1, queue.try_room(Lane::Calls).unwrap());
        queue.close();
        queue.push(Lane::Calls, 2, queue.try_room(Lane::Calls).unwrap());
        assert_eq!(jobs(&queue), [1]);
        assert!(matches!(queue.next(Duration::from_secs(3600)), Next::Closed));

        let queue = Queue::new();
        queue.push(Lane::Calls, 1, queue.try_room(Lane::Calls).unwrap());
        queue.abandon();
        assert!(matches!(queue.next(SOON), Next::Closed));
    }
}
