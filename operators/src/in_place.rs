//! Values made where they stay.
//!
//! A list makes room for a value when it has it already, which may fail, and then the value is dropped: so
//! it has to be put together elsewhere, field by field, and is copied from there in words wider than its
//! fields. A processor waits for all of them to arrive in memory then. For rows of some cache lines that
//! takes longer than all else that is done to make them. Here there is room before the value is made,
//! nothing can fail after, and it is made in its place.

/// Adds what is made to the end of a list.
#[inline(always)]
pub fn push<T>(list: &mut Vec<T>, make: impl FnOnce() -> T) {
    if list.len() == list.capacity() {
        grow(list);
    }
    let value = make();
    if list.len() == list.capacity() {
        no_room();
    }
    list.push(value);
}

#[cold]
#[inline(never)]
fn grow<T>(list: &mut Vec<T>) {
    list.reserve(1);
}

/// Never called, since room was made. That it cannot unwind, as a panic does, is what keeps the value out
/// of memory: nobody could have to drop it.
#[cold]
#[inline(never)]
extern "C" fn no_room() -> ! {
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_as_it_is_added_to() {
        let mut list = Vec::new();
        for number in 0..1000 {
            push(&mut list, || vec![number]);
        }
        assert!(list.iter().map(|one| one[0]).eq(0..1000));
    }
}
