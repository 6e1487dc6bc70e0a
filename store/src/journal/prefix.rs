//! Rows by the first characters of their key: what a person types.

use sqlx::query;

use super::reader::{Reader, ViewRow, view_row};
use crate::StoreError;

impl Reader {
    /// Rows of a view, open or closed, whose key begins so.
    pub async fn rows_with_prefix(&self, view: &str, prefix: &str, limit: u32) -> Result<Vec<ViewRow>, StoreError> {
        let sql = "SELECT key, closed, seq, row FROM view WHERE view = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?";
        let rows = query(sql)
            .bind(view)
            .bind(prefix)
            .bind(format!("{prefix}\u{10ffff}"))
            .bind(i64::from(limit.min(super::PAGE_MAX)))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read rows"))?;
        rows.iter()
            .map(|row| view_row(row).map_err(StoreError::database("read a row")))
            .collect()
    }
}
