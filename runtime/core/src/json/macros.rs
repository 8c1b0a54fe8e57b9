//! The `json!` macro: documents of our own, written as JSON.

/// Builds a [`Json`](crate::json::Json) from something that looks like it.
///
/// Keys are string literals, or expressions in parentheses; values are JSON or any expression that
/// `Json::from` takes.
///
/// ```
/// use lockstep_core::json;
/// let price = "340000.00";
/// let offer = json!({"price": price, "valid": true, "conditions": ["cash", null, 3]});
/// assert_eq!(offer.to_string(), r#"{"conditions":["cash",null,3],"price":"340000.00","valid":true}"#);
/// ```
#[macro_export]
macro_rules! json {
    // Internal: the items of an array, each munched up to the next comma.
    (@array [$($done:expr,)*]) => { vec![$($done),*] };
    (@array [$($done:expr),*]) => { vec![$($done),*] };
    (@array [$($done:expr,)*] null $($rest:tt)*) => {
        $crate::json!(@array [$($done,)* $crate::json!(null)] $($rest)*)
    };
    (@array [$($done:expr,)*] [$($inner:tt)*] $($rest:tt)*) => {
        $crate::json!(@array [$($done,)* $crate::json!([$($inner)*])] $($rest)*)
    };
    (@array [$($done:expr,)*] {$($inner:tt)*} $($rest:tt)*) => {
        $crate::json!(@array [$($done,)* $crate::json!({$($inner)*})] $($rest)*)
    };
    (@array [$($done:expr,)*] $next:expr, $($rest:tt)*) => {
        $crate::json!(@array [$($done,)* $crate::json!($next),] $($rest)*)
    };
    (@array [$($done:expr,)*] $last:expr) => {
        $crate::json!(@array [$($done,)* $crate::json!($last)])
    };
    (@array [$($done:expr),*] , $($rest:tt)*) => { $crate::json!(@array [$($done,)*] $($rest)*) };

    // Internal: the members of an object, as pairs.
    (@object [$($done:expr,)*]) => { [$($done),*] };
    (@object [$($done:expr,)*] ,) => { [$($done),*] };
    (@object [$($done:expr,)*] , $($rest:tt)+) => { $crate::json!(@object [$($done,)*] $($rest)+) };
    (@object [$($done:expr,)*] $key:tt : null $($rest:tt)*) => {
        $crate::json!(@object [$($done,)* (::std::string::String::from($key), $crate::json!(null)),] $($rest)*)
    };
    (@object [$($done:expr,)*] $key:tt : [$($inner:tt)*] $($rest:tt)*) => {
        $crate::json!(@object [$($done,)* (::std::string::String::from($key), $crate::json!([$($inner)*])),] $($rest)*)
    };
    (@object [$($done:expr,)*] $key:tt : {$($inner:tt)*} $($rest:tt)*) => {
        $crate::json!(@object [$($done,)* (::std::string::String::from($key), $crate::json!({$($inner)*})),] $($rest)*)
    };
    (@object [$($done:expr,)*] $key:tt : $next:expr, $($rest:tt)*) => {
        $crate::json!(@object [$($done,)* (::std::string::String::from($key), $crate::json!($next)),] $($rest)*)
    };
    (@object [$($done:expr,)*] $key:tt : $last:expr) => {
        $crate::json!(@object [$($done,)* (::std::string::String::from($key), $crate::json!($last)),])
    };

    (null) => { $crate::json::Json::Null };
    ([]) => { $crate::json::Json::Array(::std::vec::Vec::new()) };
    ([$($inner:tt)+]) => { $crate::json::Json::Array($crate::json!(@array [] $($inner)+)) };
    ({}) => { $crate::json::Json::Object($crate::json::Object::new()) };
    ({$($inner:tt)+}) => {
        $crate::json::Json::Object(
            ::std::iter::Iterator::collect::<$crate::json::Object>(
                ::std::iter::IntoIterator::into_iter(
                    $crate::json!(@object [] $($inner)+) as [(::std::string::String, $crate::json::Json); _]
                )
            )
        )
    };
    ($value:expr) => { $crate::json::Json::from($value) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_macro_reads_like_json() {
        let key = "computed";
        let value = json!({
            "nothing": null,
            "list": [1, -2, "three", [], {}, [null, true], {"a": null}],
            (key): 1 + 2,
            "nested": {"deep": {"deeper": key.to_uppercase()}},
            "trailing": [1,],
        });
        assert_eq!(
            value.to_string(),
            r#"{"computed":3,"list":[1,-2,"three",[],{},[null,true],{"a":null}],"nested":{"deep":{"deeper":"COMPUTED"}},"nothing":null,"trailing":[1]}"#
        );
        assert_eq!(json!([]).to_string(), "[]");
        assert_eq!(json!({}).to_string(), "{}");
        assert_eq!(json!("x").to_string(), "\"x\"");
    }
}
