//! Conversions between types, and what does not convert.

use super::*;

fn object(attributes: &[(&str, Type)]) -> Type {
    Type::object(attributes.iter().map(|(name, kind)| (*name, kind.clone())))
}

fn tuple<const N: usize>(elements: [&Type; N]) -> Type {
    Type::Tuple(elements.map(Type::clone).to_vec())
}

#[test]
fn unification_follows_the_table() {
    let (number, string, bool) = (Type::Number, Type::String, Type::Bool);
    let cases = [
        (vec![], Some(Type::Dynamic)),
        (vec![number.clone(), string.clone()], Some(string.clone())),
        (vec![number.clone(), bool.clone()], None),
        (vec![number.clone(), bool.clone(), string.clone()], Some(string.clone())),
        (vec![number.clone(), Type::Dynamic], Some(number.clone())),
        (vec![tuple([&number]), tuple([&string])], Some(tuple([&string]))),
        (vec![tuple([&number]), tuple([])], Some(Type::list(number.clone()))),
        (vec![tuple([&number, &string]), tuple([&bool, &number])], None),
        (
            vec![Type::list(string.clone()), tuple([&number])],
            Some(Type::list(string.clone())),
        ),
        (
            vec![Type::set(string.clone()), tuple([&number])],
            Some(Type::set(string.clone())),
        ),
        (
            vec![object(&[("a", number.clone())]), object(&[("a", string.clone())])],
            Some(object(&[("a", string.clone())])),
        ),
        (
            vec![object(&[("a", number.clone())]), object(&[])],
            Some(Type::map(number.clone())),
        ),
        (
            vec![object(&[("a", number.clone())]), object(&[("b", string.clone())])],
            Some(Type::map(string.clone())),
        ),
        (
            vec![Type::map(string.clone()), object(&[("a", number.clone())])],
            Some(Type::map(string.clone())),
        ),
        (vec![object(&[]), tuple([])], None),
        (vec![Type::list(number.clone()), number], None),
    ];
    for (types, wanted) in cases {
        assert_eq!(unify(&types), wanted, "{types:?}");
    }
}

#[test]
fn errors_name_the_way_to_what_is_wrong() {
    let kind = object(&[("a", Type::list(Type::map(Type::Number)))]);
    let inner = Value::object([("k", Value::string("x"))]);
    let value = Value::object([("a", Value::tuple(vec![Value::object([("k", Value::int(1))]), inner]))]);
    let error = convert(&value, &kind).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attribute `a`, element 1, element `k`: a number is required"
    );
    let error = convert(&Value::object([("b", Value::int(1))]), &kind).unwrap_err();
    assert_eq!(error.to_string(), "attribute `a` is required");
    let error = convert(&Value::string("True"), &Type::Bool).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a bool is required, and it is written in lower case: `true`"
    );
}

#[test]
fn optional_attributes_become_null() {
    let mut kind = ObjectType::default();
    kind.attributes.insert("a".to_owned(), Type::String);
    kind.optional.insert("a".to_owned());
    let converted = convert(&Value::object([("other", Value::int(1))]), &Type::Object(kind)).unwrap();
    assert_eq!(converted.type_of(), object(&[("a", Type::String)]));
    assert!(converted.attribute("a").unwrap().is_null());
}

mod laws {
    use proptest::prelude::*;

    use super::*;
    use crate::value::equality::same;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::bool),
            any::<i64>().prop_map(Value::int),
            (any::<i32>(), 1..1000i64)
                .prop_map(|(a, b)| { Value::number(Number::from(i64::from(a)).div(&Number::from(b)).unwrap()) }),
            "[a-z0-9é]{0,5}".prop_map(Value::string),
            Just(Value::null(Type::Dynamic)),
            Just(Value::unknown(Type::String)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::tuple),
                proptest::collection::vec(("[a-c]", inner), 0..4).prop_map(Value::object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_converts_is_of_the_type_and_converts_again(value in value(), other in value()) {
            let kind = other.type_of();
            if let Ok(converted) = convert(&value, &kind) {
                if !kind.has_dynamic() {
                    prop_assert_eq!(converted.type_of(), kind.clone());
                }
                let again = convert(&converted, &kind).unwrap();
                prop_assert!(same(&again, &converted));
            }
        }

        #[test]
        fn every_value_is_of_its_own_type(value in value()) {
            prop_assert!(same(&convert(&value, &value.type_of()).unwrap(), &value));
        }

        #[test]
        fn arms_convert_to_their_unified_type(a in value(), b in value()) {
            if let Some(kind) = unify(&[a.type_of(), b.type_of()]) {
                prop_assert!(convert(&a, &kind).is_ok(), "{} to {:?}", a, kind);
                prop_assert!(convert(&b, &kind).is_ok(), "{} to {:?}", b, kind);
            }
        }

        #[test]
        fn unification_does_not_depend_on_the_order(a in value(), b in value()) {
            prop_assert_eq!(unify(&[a.type_of(), b.type_of()]), unify(&[b.type_of(), a.type_of()]));
        }

        #[test]
        fn sets_ignore_order_and_repetition(elements in proptest::collection::vec(0..20i64, 0..10)) {
            let forward: Vec<Value> = elements.iter().copied().map(Value::int).collect();
            let backward: Vec<Value> = forward.iter().rev().chain(&forward).cloned().collect();
            prop_assert!(same(&Value::set(Type::Number, forward), &Value::set(Type::Number, backward)));
        }

        #[test]
        fn numbers_survive_their_text(a in any::<i32>(), b in 1..100_000i64) {
            let literal = |number: i64| Number::parse(&number.to_string()).unwrap();
            let number = literal(i64::from(a.unsigned_abs())).div(&literal(b)).unwrap();
            let text = convert(&Value::number(number.clone()), &Type::String).unwrap();
            prop_assert!(same(&convert(&text, &Type::Number).unwrap(), &Value::number(number)));
        }
    }
}
