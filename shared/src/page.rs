//! Pages over one snapshot (AIP-158): a token holds the revision of the first page, the last row sent and the query.
//!
//! Nothing of the registry is ever removed, so the rows of a snapshot are those that came up to its revision; rows that
//! come while somebody pages are left out of that walk, and no row is lost or comes twice.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    limits::PAGE_BYTES_MAX,
    model::{
        fault::{Fault, Reason, Violation},
        log::{Revision, StoreId},
    },
};

/// A page as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows of it.
    pub rows: usize,
    /// Token of the page before; empty: the first page.
    pub token: String,
    /// Digest of the query without page size and token.
    pub query: [u8; 16],
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Revision of the first page.
    pub snapshot: Revision,
    /// Id of the last row sent; empty: none yet.
    pub after: String,
}

const CHECK_LEN: usize = 16;
const REVISION_LEN: usize = 8;

impl PageRequest {
    /// Where this page begins; a first page begins at `newest`.
    ///
    /// # Errors
    /// `InvalidPageToken` for a token that was altered, belongs to another query or another store.
    pub fn cursor(&self, store: StoreId, newest: Revision) -> Result<Cursor, Fault> {
        if self.token.is_empty() {
            return Ok(Cursor { snapshot: newest, after: String::new() });
        }
        self.read_token(store).filter(|cursor| cursor.snapshot <= newest).ok_or_else(|| {
            let message = "is not a token of this query; start again without a token";
            let violation = Violation {
                path: "page_token".to_owned(),
                reason: Reason::InvalidPageToken,
                message: message.to_owned(),
            };
            let mut fault = Fault::new(Reason::InvalidPageToken, format!("page_token: {message}"));
            fault.violations.push(violation);
            fault
        })
    }

    /// The token of the page after the row `after`.
    pub fn next_token(&self, store: StoreId, snapshot: Revision, after: &str) -> String {
        let body = [&snapshot.get().to_be_bytes(), after.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode([&self.check(store, &body)[..], &body].concat())
    }

    fn read_token(&self, store: StoreId) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.token).ok()?;
        let (check, body) = bytes.split_at_checked(CHECK_LEN)?;
        if check != self.check(store, body) {
            return None;
        }
        let (snapshot, after) = body.split_first_chunk::<REVISION_LEN>()?;
        let after = String::from_utf8(after.to_vec()).ok()?;
        Some(Cursor { snapshot: Revision::from(u64::from_be_bytes(*snapshot)), after })
    }

    /// Ties a token to the store and the query. It guards against mistakes, not against forgery: a token opens nothing.
    fn check(&self, store: StoreId, body: &[u8]) -> [u8; CHECK_LEN] {
        let hash = blake3::Hasher::new().update(store.0.as_bytes()).update(&self.query).update(body).finalize();
        let mut check = [0; CHECK_LEN];
        check.copy_from_slice(&hash.as_bytes()[..CHECK_LEN]);
        check
    }
}

/// The rows of one page as messages, and the token of the next page if there is one. A page ends at its rows, or earlier
/// where its messages are large.
///
/// `rows` are the rows after the cursor that belong to its snapshot; `id` names a row, `write` makes its message.
pub fn take_page<'a, T: 'a, M: prost::Message>(
    request: &PageRequest,
    store: StoreId,
    cursor: &Cursor,
    rows: impl Iterator<Item = &'a T>,
    id: impl Fn(&T) -> String,
    write: impl Fn(&T) -> M,
) -> (Vec<M>, String) {
    let mut page: Vec<M> = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    for row in rows {
        let message = write(row);
        bytes += message.encoded_len();
        if let Some(last) = last
            && (page.len() == request.rows || bytes > PAGE_BYTES_MAX)
        {
            return (page, request.next_token(store, cursor.snapshot, &id(last)));
        }
        page.push(message);
        last = Some(row);
    }
    (page, String::new())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const STORE: StoreId = StoreId(Uuid::from_u128(7));

    fn request(token: &str, query: u8) -> PageRequest {
        PageRequest { rows: 2, token: token.to_owned(), query: [query; 16] }
    }

    #[test]
    fn a_token_leads_to_the_next_page_of_its_query_only() {
        let newest = Revision::from(9);
        let token = request("", 1).next_token(STORE, Revision::from(5), "b");
        let cursor = request(&token, 1).cursor(STORE, newest).unwrap();
        assert_eq!(cursor, Cursor { snapshot: Revision::from(5), after: "b".to_owned() });

        assert!(request(&token, 2).cursor(STORE, newest).is_err(), "another query");
        assert!(request(&token, 1).cursor(StoreId(Uuid::from_u128(8)), newest).is_err(), "another store");
        assert!(request(&token, 1).cursor(STORE, Revision::from(4)).is_err(), "a snapshot that is not there yet");
        for position in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(request(&altered, 1).cursor(STORE, newest).is_err(), "altered at {position}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let rows = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let cursor = Cursor { snapshot: Revision::from(1), after: String::new() };
        let page = |rows: &[String]| {
            let (page, token) = take_page(&request("", 1), STORE, &cursor, rows.iter(), String::clone, String::clone);
            (page.len(), token.is_empty())
        };
        assert_eq!(page(&rows), (2, false));
        assert_eq!(page(&rows[..2]), (2, true));
        assert_eq!(page(&[]), (0, true));
    }

    #[test]
    fn a_page_of_large_rows_ends_early() {
        let rows = ["a".repeat(PAGE_BYTES_MAX), "b".to_owned()];
        let cursor = Cursor { snapshot: Revision::from(1), after: String::new() };
        let (page, token) =
            take_page(&request("", 1), STORE, &cursor, rows.iter(), |row| row[..1].to_owned(), String::clone);
        assert_eq!(page.len(), 1);
        assert_eq!(request(&token, 1).cursor(STORE, Revision::from(1)).unwrap().after, "a");
    }
}
