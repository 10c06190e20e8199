//! Pages over one snapshot (AIP-158): a token holds the revision of the first page, the last row sent and the query.
//!
//! Nothing of the registry is ever removed, so the rows of a snapshot are those that came up to its revision; rows that
//! come while somebody pages are left out of that walk, and no row is lost or comes twice.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::{
    fault::{Fault, Reason, Violation},
    log::{Revision, StoreId},
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

/// The rows of one page, and the token of the next if there is one.
///
/// `rows` are the rows after the cursor that belong to its snapshot; `id` names a row.
pub fn take_page<'a, T>(
    request: &PageRequest,
    store: StoreId,
    cursor: &Cursor,
    rows: impl Iterator<Item = &'a T>,
    id: impl Fn(&T) -> &str,
) -> (Vec<&'a T>, String) {
    let mut page: Vec<&T> = rows.take(request.rows + 1).collect();
    if page.len() <= request.rows {
        return (page, String::new());
    }
    page.truncate(request.rows);
    let token = page.last().map_or_else(String::new, |last| request.next_token(store, cursor.snapshot, id(last)));
    (page, token)
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
        let (page, token) = take_page(&request("", 1), STORE, &cursor, rows.iter(), |row| row);
        assert_eq!((page.len(), token.is_empty()), (2, false));
        let (page, token) = take_page(&request("", 1), STORE, &cursor, rows[..2].iter(), |row| row);
        assert_eq!((page.len(), token.is_empty()), (2, true));
    }
}
