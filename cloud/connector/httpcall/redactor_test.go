package httpcall

import (
	"fmt"
	"strings"
	"testing"
)

func TestRedactor_KeepsFixedSecretsAndForgetsOldTokens(t *testing.T) {
	var r redactor
	r.add("password")
	for i := range 10000 {
		r.add(fmt.Sprintf("token-%d", i))
	}
	if len(r.forms) > maxHidden {
		t.Errorf("%d forms are kept, want at most %d", len(r.forms), maxHidden)
	}
	if got := r.clean("password token-9999"); strings.Contains(got, "password") || strings.Contains(got, "token") {
		t.Errorf("left %q", got)
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add("secret", "a secret here")
	f.Add("a", "aaaa")
	f.Fuzz(func(t *testing.T, secret, text string) {
		var r redactor
		r.add(secret)
		if secret == "" || strings.Contains("(secret)", secret) {
			return
		}
		got := r.clean(text)
		if strings.Contains(strings.ReplaceAll(got, "(secret)", "\x00"), secret) && !strings.Contains(secret, "\x00") {
			t.Errorf("%q still stands in %q", secret, got)
		}
	})
}
