//! Pages of lists: how many, and from where on.

use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::base::Code;
use crate::base::limits::PAGE_ROWS_MAX;

use super::problem::Problem;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// How many entries at most.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// From the page before; leave it out for the first page.
    #[param(value_type = Option<Uuid>)]
    cursor: Option<Uuid>,
}

impl PageParams {
    /// Entries wanted and the id to continue after.
    ///
    /// # Errors
    /// `bad_request` when the limit is not from 1 to 100.
    pub fn get(&self) -> Result<(usize, Option<Uuid>), Problem> {
        Ok((limit(self.limit, 50)?, self.cursor))
    }
}

/// The number of rows asked for.
///
/// # Errors
/// `bad_request` when it is not from 1 to 100.
pub fn limit(asked: Option<u32>, default: usize) -> Result<usize, Problem> {
    let Some(asked) = asked else { return Ok(default) };
    usize::try_from(asked).ok().filter(|n| (1..=PAGE_ROWS_MAX).contains(n)).ok_or_else(|| {
        Problem::because(Code::BadRequest, format!("limit: from 1 to {PAGE_ROWS_MAX}, please.")).field("limit")
    })
}

/// Cuts a list that was asked for with one entry more than wanted; answers whether that entry was there.
pub fn cut<T>(list: &mut Vec<T>, wanted: usize) -> bool {
    let more = list.len() > wanted;
    list.truncate(wanted);
    more
}
