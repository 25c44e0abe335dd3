package problem

import (
	"errors"
	"io"
	"regexp"
	"testing"
)

func TestCatalogue_EveryCodeHasAPage(t *testing.T) {
	form := regexp.MustCompile(`^E-[1-9][0-9]{3}$`)
	for _, code := range Codes() {
		page := Explain(code)
		if !form.MatchString(string(code)) {
			t.Errorf("code %q is not of the form E-nnnn", code)
		}
		if page.Title == "" || page.Consequence == "" || page.Next == "" {
			t.Errorf("page of %s has an empty field: %+v", code, page)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		err := Wrap(QueueFull, io.ErrShortWrite)
		if !errors.Is(err, io.ErrShortWrite) || CodeOf(err) != QueueFull {
			t.Errorf("Wrap lost cause or code: %v, code %s", err, CodeOf(err))
		}
	})
	t.Run("Nil", func(t *testing.T) {
		if err := Wrap(QueueFull, nil); err != nil {
			t.Errorf("Wrap(nil) = %v", err)
		}
	})
	t.Run("CodeOfPlainErrorIsInternal", func(t *testing.T) {
		if got := CodeOf(io.EOF); got != Internal {
			t.Errorf("CodeOf = %s, want %s", got, Internal)
		}
	})
	t.Run("UnknownCodeExplainsAsInternal", func(t *testing.T) {
		if Explain("E-1999") != Explain(Internal) {
			t.Error("unknown code has a page of its own")
		}
	})
}
