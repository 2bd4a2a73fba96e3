package sourceconfig

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pillarbox/internal/config"
)

// MaxFunctionBody is the largest body that a gateway can hand to a function, in bytes: an event of
// Lambda has 6 MB, and bodies are in it as base64.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const MaxFunctionBody config.ByteSize = 4 << 20

// windowKey is the key beside those of sources that means something to the function.
const windowKey = "idempotency.window"

// refusals say why a key of a source has no effect on the function, and what has.
const (
	noRate = "has no effect on AWS: each process of the function would count for itself, and there are as many as AWS starts. API Gateway counts for all of them: " +
		"leave it out, and set throttle_per_second and throttle_burst of the stack, and waf_requests_per_5_minutes for single addresses"
	noCertificate = "can't be met on AWS: TLS ends at API Gateway, and the function sees no certificate of a client; use api_key, jwt, basic or a signature"
	noQuarantine  = "has no effect on AWS: a function has no disk to keep requests apart on; leave it out, and they are refused"
	noRoot        = "can't be reached on AWS: the root of the stage leads to no function; give the source a path such as /app"
)

// LoadFunction reads the file of sources of the function, and refuses what can have no effect there.
// env looks up what ${NAME} stands for; it is not asked for variables that set keys of a configuration
// elsewhere, which are of the function itself. refers says whether the file refers to anything.
func LoadFunction(path string, text []byte, env func(name string) (string, bool)) (cfg *config.Config,
	refers bool, err error) {
	ours := map[string]bool{}
	for _, key := range config.Keys() {
		ours[config.EnvName(key)] = true
	}
	cfg, err = config.Load(config.Input{Path: path, Text: text, Env: func(name string) (string, bool) {
		if ours[name] {
			return "", false
		}
		refers = true
		return env(name)
	}})
	if err == nil {
		err = CheckFunction(cfg)
	}
	return cfg, refers, err
}

// CheckFunction refuses what a configuration says that can have no effect on the accepting function
// on AWS: what is not about sources, and what of a source only a server can do. The error joins all
// of it, each with its place and what to do instead.
func CheckFunction(cfg *config.Config) error {
	var errs []error
	fail := func(key, why string) { errs = append(errs, said(cfg, key, why)) }
	for _, key := range cfg.FileKeys() {
		if !strings.HasPrefix(key, "sources.") && key != windowKey {
			fail(key, "has no effect on AWS, where the function is told of sources and "+windowKey+
				" alone; leave it out, and choose the rest with variables of the stack (deploy/terraform/README.md)")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		s, key := cfg.Sources[name], "sources."+name
		if len(s.Rate) > 0 {
			fail(key+".rate", noRate)
		}
		for i, way := range s.Auth {
			if len(way.ClientCert.Names)+len(way.ClientCert.URIs) > 0 {
				fail(fmt.Sprintf("%s.auth[%d].client_cert", key, i), noCertificate)
			}
		}
		if s.Signature.OnFailure == config.OnFailureQuarantine {
			fail(key+".signature.on_failure", noQuarantine)
		}
		if s.Path == "/" {
			fail(key+".path", noRoot)
		}
		if s.MaxBody > MaxFunctionBody {
			fail(key+".max_body", fmt.Sprintf("is %v, and API Gateway can hand %v to a function at most; set that or less",
				s.MaxBody, MaxFunctionBody))
		}
	}
	return errors.Join(errs...)
}

// said is an error about a key, with the place where it stands.
func said(cfg *config.Config, key, why string) error {
	if where := cfg.Where(key); where != "" {
		return fmt.Errorf("%s: %s: %s", where, key, why)
	}
	return fmt.Errorf("%s: %s", key, why)
}
