package jwt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/jwt"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/telemetry"
)

// within runs a test on a clock of its own, with an issuer whose keys are fetched.
func within(t *testing.T, test func(t *testing.T, issuer *nodetest.DoorIssuer, issuers *jwt.Issuers, verifier *jwt.Verifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		issuer := nodetest.NewDoorIssuer()
		issuers := jwt.New(jwt.Options{Transport: issuer})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- issuers.Run(ctx) }()
		test(t, issuer, issuers, issuer.Tokens(issuers))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestTokensAreWhatTheySay: each case, twice, because a good one is remembered and a bad one is not.
func TestTokensAreWhatTheySay(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, _ *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		for _, c := range issuer.TokenCases() {
			for range 2 {
				caller, attributes, refused := verifier.Identify(c.Token, nodetest.DoorTime, true)
				switch {
				case refused != c.Refused:
					t.Errorf("%s: refused as %q, want %q", c.Name, refused, c.Refused)
				case c.Facts != nil && (caller != c.Facts.Caller || !slices.Equal(attributes, c.Facts.Attributes)):
					t.Errorf("%s: it is %q with %v", c.Name, caller, attributes)
				case c.Facts == nil && (caller != "" || attributes != nil):
					t.Errorf("%s: it is refused, and of %q", c.Name, caller)
				case refused != "" && !slices.Contains(telemetry.UnauthorizedReasons(), refused):
					t.Errorf("%s: nobody counts %q", c.Name, refused)
				}
			}
		}
	})
}

// TestARememberedTokenEndsInTime: with its own end, and with the key that it was signed with.
func TestARememberedTokenEndsInTime(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, _ *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		token := issuer.Token("rsa", nil, issuer.Claims(nil))
		check := func(at time.Time, want string) {
			t.Helper()
			if _, _, refused := verifier.Identify(token, at, true); refused != want {
				t.Errorf("refused as %q, want %q", refused, want)
			}
		}
		check(nodetest.DoorTime, "")
		check(nodetest.DoorTime.Add(59*time.Second), "")
		check(nodetest.DoorTime.Add(61*time.Second), "expired")
		check(nodetest.DoorTime, "")
		issuer.Publish("ec")
		time.Sleep(jwt.RefreshEvery + time.Second)
		synctest.Wait()
		check(nodetest.DoorTime, jwt.Undecided)
		if !verifier.Await() {
			t.Error("the keys don't come")
		}
		check(nodetest.DoorTime, jwt.Undecided) // who has waited takes it for a key that nobody has
	})
}

// TestANewKeyIsWaitedFor, and one that nobody has costs few requests, however many ask for it.
func TestANewKeyIsWaitedFor(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, _ *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		token := issuer.Token("late", nil, issuer.Claims(nil))
		issuer.Publish("rsa", "late")
		if _, _, refused := verifier.Identify(token, nodetest.DoorTime, true); refused != jwt.Undecided {
			t.Errorf("refused as %q", refused)
		}
		if !verifier.Await() {
			t.Fatal("the keys don't come")
		}
		if caller, _, refused := verifier.Identify(token, nodetest.DoorTime, true); caller != "alice" || refused != "" {
			t.Errorf("it is of %q, %q", caller, refused)
		}
		before, began := issuer.Asked(), time.Now()
		done := make(chan bool)
		for range 100 {
			go func() { done <- verifier.Await() }()
		}
		for range 100 {
			if !<-done {
				t.Error("the keys don't come")
			}
		}
		for range 10 {
			verifier.Await()
		}
		if asked, most := issuer.Asked()-before, int(time.Since(began)/jwt.RefetchAfter)+1; asked > most {
			t.Errorf("%d requests in %v", asked, time.Since(began))
		}
	})
}

// TestAnIssuerThatIsAwayStopsNobody whose key is at hand; the others are told that it passes.
func TestAnIssuerThatIsAwayStopsNobody(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, _ *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		issuer.Leave(true)
		for range 3 {
			time.Sleep(jwt.RefreshEvery)
			token := issuer.Token("rsa", nil, issuer.Claims(map[string]any{"n": time.Now().String()}))
			if caller, _, refused := verifier.Identify(token, nodetest.DoorTime, true); caller != "alice" {
				t.Errorf("refused as %q", refused)
			}
		}
		began := time.Now()
		if verifier.Await() || time.Since(began) != jwt.AwaitAtMost {
			t.Errorf("waited for %v", time.Since(began))
		}
		issuer.Leave(false)
		time.Sleep(jwt.MaxBackoff)
		if !verifier.Await() {
			t.Error("the issuer is back, and its keys don't come")
		}
	})
}

// TestWhoMustNotWaitVerifiesFew tokens a second; what is remembered or wrong at a glance is none of
// them.
func TestWhoMustNotWaitVerifiesFew(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, _ *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		forged := issuer.Token("strange", map[string]any{"kid": "rsa"}, issuer.Claims(nil))
		good := issuer.Token("rsa", nil, issuer.Claims(nil))
		identify := func(token string, mayWait bool) string {
			_, _, refused := verifier.Identify(token, nodetest.DoorTime, mayWait)
			return refused
		}
		for range jwt.InlineRate - 1 {
			if got := identify(forged, false); got != "unknown" {
				t.Fatalf("refused as %q", got)
			}
		}
		if got := identify(good, false); got != "" {
			t.Errorf("a good one is refused as %q", got)
		}
		if got := identify(forged, false); got != jwt.Undecided {
			t.Errorf("one more is refused as %q", got)
		}
		if identify(good, false) != "" || identify(forged, true) != "unknown" || identify("a.b.c", false) != "malformed" {
			t.Error("what costs little, or may wait, is not decided")
		}
		time.Sleep(time.Second)
		if got := identify(forged, false); got != "unknown" {
			t.Errorf("a second later, refused as %q", got)
		}
	})
}

// TestKeysAreForgottenWithTheLastWhoUsesThem.
func TestKeysAreForgottenWithTheLastWhoUsesThem(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, issuers *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		again := issuer.Tokens(issuers)
		issuers.Retain(again)
		time.Sleep(jwt.RefreshEvery + time.Second)
		if issuer.Asked() != 2 {
			t.Errorf("%d requests for the keys of two verifiers", issuer.Asked())
		}
		issuers.Retain()
		time.Sleep(3 * jwt.RefreshEvery)
		if issuer.Asked() != 2 || verifier.Await() {
			t.Errorf("%d requests for keys that nobody uses", issuer.Asked())
		}
	})
}

// TestAnIssuerIsAskedWhereItsKeysAre, and answers for itself alone.
func TestAnIssuerIsAskedWhereItsKeysAre(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, issuers *jwt.Issuers, _ *jwt.Verifier) {
		found := issuers.Verifier(jwt.Settings{Issuer: issuer.URL, Audience: "pillarbox", Caller: "/realm/n"})
		synctest.Wait()
		if caller, _, refused := found.Identify(issuer.Token("ec", nil, issuer.Claims(nil)), nodetest.DoorTime, true); caller != "1" {
			t.Errorf("it is of %q, %q", caller, refused)
		}
		other := issuers.Verifier(jwt.Settings{Issuer: "https://idp.example.org", Audience: "pillarbox"})
		if other.Await() {
			t.Error("the document of another issuer is believed")
		}
	})
}

// TestMemoryOfTokensIsBounded, and a token that is remembered costs no allocation.
func TestMemoryOfTokensIsBounded(t *testing.T) {
	within(t, func(t *testing.T, issuer *nodetest.DoorIssuer, _ *jwt.Issuers, verifier *jwt.Verifier) {
		synctest.Wait()
		token := issuer.Token("rsa", nil, issuer.Claims(nil))
		verifier.Identify(token, nodetest.DoorTime, true)
		if n := testing.AllocsPerRun(100, func() { verifier.Identify(token, nodetest.DoorTime, true) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if verifier.Remembered() != 1 {
			t.Errorf("%d tokens are remembered", verifier.Remembered())
		}
		for i := range 3 * jwt.MaxRemembered {
			verifier.Remember(fmt.Sprint(i))
		}
		if n := verifier.Remembered(); n > 2*jwt.MaxRemembered {
			t.Errorf("%d tokens are remembered", n)
		}
	})
}

// redirecting answers everything with a redirection.
type redirecting string

func (r redirecting) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" {
		return nil, errors.New("asked in the clear")
	}
	return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {string(r)}}, Body: http.NoBody, Request: request}, nil
}

func TestKeysComeByHTTPSAlone(t *testing.T) {
	for address, good := range map[string]bool{"https://idp.example.org/": true, "http://127.0.0.1:8/x": true, "http://localhost/": true,
		"http://[::1]/": true, "http://idp.example.org/": false, "ftp://localhost/": false, "idp.example.org": false, "": false,
		"https://": false, "https://a:b@idp.example.org/": false, "https://idp.example.org/#a": false} {
		if err := jwt.CheckURL(address); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		issuers := jwt.New(jwt.Options{Transport: redirecting("http://idp.example.org/keys")})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		verifier := issuers.Verifier(jwt.Settings{Issuer: "https://idp.example.org/", KeysURL: "https://idp.example.org/keys", Audience: "a"})
		go func() { done <- issuers.Run(ctx) }()
		if verifier.Await() {
			t.Error("a redirection into the clear is followed")
		}
		cancel()
		<-done
	})
}

func TestKeysThatProveNothingArePassedOver(t *testing.T) {
	small := `{"kty":"RSA","kid":"s","e":"AQAB","n":"` + "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4" + `"}`
	for name, c := range map[string]struct {
		text string
		n    int
	}{
		"none": {`{"keys":[]}`, 0}, "no JSON": {`<html>`, 0}, "no set": {`[]`, 0}, "a secret": {`{"keys":[{"kty":"oct","k":"a2V5"}]}`, 0},
		"a short key": {`{"keys":[` + small + `]}`, 0}, "of an unknown kind": {`{"keys":[{"kty":"new"},null,1]}`, 0},
	} {
		if n, err := jwt.CountKeys([]byte(c.text)); n != c.n || (err == nil) != (n > 0) {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	issuer := nodetest.NewDoorIssuer()
	verifier := issuer.Tokens(issuer.Issuers(f))
	if !verifier.Await() {
		f.Fatal("the keys don't come")
	}
	good := map[string]bool{}
	for _, c := range issuer.TokenCases() {
		f.Add(c.Token)
		good[c.Token] = c.Facts != nil
	}
	f.Fuzz(func(t *testing.T, token string) {
		caller, _, refused := verifier.Identify(token, nodetest.DoorTime, true)
		if refused == "" && (caller != "alice" && caller != "bob") || refused != "" && good[token] {
			t.Errorf("%q is of %q, %q", token, caller, refused)
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	issuer := nodetest.NewDoorIssuer()
	verifier := issuer.Tokens(issuer.Issuers(b))
	if !verifier.Await() {
		b.Fatal("the keys don't come")
	}
	for _, key := range []string{"rsa", "ec"} {
		token := issuer.Token(key, nil, issuer.Claims(nil))
		b.Run(key+"/remembered", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				verifier.Identify(token, nodetest.DoorTime, true)
			}
		})
		b.Run(key+"/verified", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				verifier.Verify(token, nodetest.DoorTime)
			}
		})
	}
}
