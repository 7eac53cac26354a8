// Serves go-containerregistry's registry with the API for referrers, by TLS, to whoever has the login.
package main

import (
	"crypto/subtle"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: registry CERTIFICATE KEY USER PASSWORD")
	}
	certificate, key := os.Args[1], os.Args[2]
	images := registry.New(registry.WithReferrersSupport(true))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "serving on port %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.ServeTLS(listener, withLogin(images, os.Args[3], os.Args[4]), certificate, key))
}

func withLogin(images http.Handler, user, password string) http.Handler {
	same := func(one, two string) bool { return subtle.ConstantTimeCompare([]byte(one), []byte(two)) == 1 }
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		givenUser, givenPassword, _ := request.BasicAuth()
		if !same(givenUser, user) || !same(givenPassword, password) {
			answer.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(answer, `{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}`, http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(answer, request)
	})
}
