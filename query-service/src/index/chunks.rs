//! A list of which copies are cheap: they share every chunk that neither has changed.

use std::sync::Arc;

/// Elements of a chunk.
pub const CHUNK_LEN: usize = 512;

/// A list that grows at its end. A change copies the chunk that it touches, if somebody else holds it, too.
#[derive(Clone, Debug)]
pub struct Chunks<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Arc::default() }
    }
}

impl<T: Clone> Chunks<T> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK_LEN + last.len())
    }

    /// The element at that place.
    pub fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / CHUNK_LEN)?.get(place % CHUNK_LEN)
    }

    /// The element at that place, to be changed.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(place / CHUNK_LEN)?;
        Arc::make_mut(chunk).get_mut(place % CHUNK_LEN)
    }

    /// Adds an element at the end.
    pub fn push(&mut self, element: T) {
        let chunks = Arc::make_mut(&mut self.chunks);
        match chunks.last_mut() {
            Some(last) if last.len() < CHUNK_LEN => Arc::make_mut(last).push(element),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_LEN);
                chunk.push(element);
                chunks.push(Arc::new(chunk));
            }
        }
    }

    /// Elements of chunks that an earlier copy does not share, chunk by chunk with its number.
    pub fn chunks_since<'a>(&'a self, before: Option<&'a Self>) -> impl Iterator<Item = (usize, &'a [T])> {
        let is_shared = move |number: usize, chunk: &Arc<Vec<T>>| {
            before.and_then(|before| before.chunks.get(number)).is_some_and(|same| Arc::ptr_eq(same, chunk))
        };
        let chunks = self.chunks.iter().enumerate().filter(move |(number, chunk)| !is_shared(*number, chunk));
        chunks.map(|(number, chunk)| (number, chunk.as_slice()))
    }

    /// Adds a chunk at the end; none, and nothing changes, if the one before it is not full, or it is too long.
    pub fn push_chunk(&mut self, mut chunk: Vec<T>) -> Option<()> {
        let is_full = self.chunks.last().is_none_or(|last| last.len() == CHUNK_LEN);
        if !is_full || chunk.is_empty() || chunk.len() > CHUNK_LEN {
            return None;
        }
        chunk.reserve_exact(CHUNK_LEN - chunk.len());
        Arc::make_mut(&mut self.chunks).push(Arc::new(chunk));
        Some(())
    }

    /// From that place on.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &T> {
        (place..self.len()).filter_map(|place| self.get(place))
    }

    /// How many elements at the start fulfil a condition that none fulfils after the first that does not.
    pub fn count_while(&self, holds: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&holds) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut list = Chunks::default();
        for number in 0..2_000_u32 {
            list.push(number);
        }
        let before = list.clone();
        *list.get_mut(700).unwrap() = 9;
        list.push(2_000);
        assert_eq!((before.len(), before.get(700), before.get(2_000)), (2_000, Some(&700), None));
        assert_eq!((list.len(), list.get(700), list.get(2_000)), (2_001, Some(&9), Some(&2_000)));
        assert_eq!(before.count_while(|number| *number < 1_234), 1_234);
        assert!(list.iter_from(1_999).eq(&[1_999, 2_000]));
    }
}
