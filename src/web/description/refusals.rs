//! Refusals that several routes have.

use utoipa::ToResponse;

use crate::web::answer::RefusalBody;

macro_rules! refusals {
    ($($(#[$meta:meta])* $name:ident;)+) => {
        $(
            #[derive(ToResponse)]
            $(#[$meta])*
            #[expect(dead_code, reason = "it is described here and made by `Refusal`")]
            pub(in crate::web) struct $name(RefusalBody);
        )+
    };
}

refusals! {
    /// There is no such stream or viewer, or not what is asked of it.
    NotFound;

    #[response(
        description = "There are users, and nobody has logged in.",
        headers(("WWW-Authenticate" = String, description = "How to, where that is possible here.")),
    )]
    LogIn;

    #[response(
        description = "Not allowed here or not for this user, asked for by a page of another origin, or from an address that \
                       is blocked for a while.",
        headers(("Retry-After" = u64, description = "For how many seconds the address is blocked.")),
    )]
    Forbidden;

    /// The request was not complete within 15 s.
    Late;

    /// The relay is stopping, or busy.
    Unavailable;

    #[response(
        description = "The source does not deliver, or as many are shown pictures as may be.",
        headers(("Retry-After" = u64, description = "After how many seconds to ask again.")),
    )]
    NoPicture;
}
