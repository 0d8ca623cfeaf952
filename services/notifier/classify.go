package notifier

import (
	"errors"
	"strings"

	"github.com/wneessen/go-mail"
)

// result is what one SMTP conversation came to.
type result int

const (
	// resultSent: the server answered 250 to the mail.
	resultSent result = iota
	// resultRetry: the server certainly did not take the mail, and may take it later.
	resultRetry
	// resultRejected: the server certainly did not take the mail, and says that it never will.
	resultRejected
	// resultAmbiguous: the mail may have been taken. SMTP has no way to ask.
	resultAmbiguous
)

// verdict is a classified conversation.
type verdict struct {
	result result
	// code is the server's reply code, 0 where it gave none.
	code int
	// reply is one line of text for people, with addresses masked.
	reply string
	// broken means that the connection must not be used for another mail.
	broken bool
	// early means that the connection failed before the server had seen anything of the mail but its envelope: on a
	// kept connection, the ordinary way in which one finds that it has gone stale.
	early bool
}

// classify sorts what go-mail returned for one mail. err is nil, or what Client.Send returned; reply is the server's
// text after the final dot.
//
// Measured against go-mail 0.8.1 with real conversations (TestOutcomesOfRealConversations): a connection that is lost,
// or a reply that does not come, after the final dot is reported with IsTemp false and code 0, the same as a local and
// permanent fault, although the server may have taken the mail; and a connection lost after the 250, at go-mail's own
// RSET, is reported as an error although the mail was taken.
func classify(err error, reply string) verdict {
	if err == nil {
		return verdict{result: resultSent, code: 250, reply: maskAddresses(reply)}
	}
	text := maskAddresses(bareText(err))
	sendErr, ok := errors.AsType[*mail.SendError](err)
	if !ok {
		// Not a mail's own failure: dialling, greeting, TLS, login. Nothing of the mail was sent.
		return verdict{result: resultRetry, reply: text, broken: true, early: true}
	}
	code := sendErr.ErrorCode()
	v := verdict{code: code, reply: text, broken: code == 0 || code == 421}
	switch {
	case sendErr.Reason == mail.ErrSMTPReset:
		return verdict{result: resultSent, code: 250, reply: maskAddresses(reply), broken: true}
	case sendErr.Reason == mail.ErrSMTPDataClose && code == 0:
		v.result = resultAmbiguous
	case isLocal(sendErr.Reason):
		v.result, v.broken = resultRejected, false
	case code >= 500 && !concernsLogin(code):
		v.result = resultRejected
		// go-mail does not reset after a refused DATA.
		v.broken = sendErr.Reason == mail.ErrSMTPData
	default:
		v.result = resultRetry
		v.early = code == 0 && sendErr.Reason != mail.ErrWriteContent || code == 421 && sendErr.Reason != mail.ErrSMTPDataClose
		v.broken = v.broken || concernsLogin(code) || sendErr.Reason == mail.ErrSMTPData
	}
	return v
}

// isLocal reports refusals that go-mail makes by itself, before it says anything to the server.
func isLocal(reason mail.SendErrReason) bool {
	return reason == mail.ErrGetSender || reason == mail.ErrGetRcpts || reason == mail.ErrNoUnencoded
}

// concernsLogin reports permanent codes that speak of our login and not of the mail (RFC 4954 §6, RFC 3207 §4): an
// operator repairs the settings and the mail goes out, so they must not reject it.
func concernsLogin(code int) bool { return code == 530 || code == 534 || code == 535 || code == 538 }

// bareText drops what go-mail appends to the server's words: the recipients and the Message-ID.
func bareText(err error) string {
	text, _, _ := strings.Cut(err.Error(), ", affected recipient(s): ")
	text, _, _ = strings.Cut(text, ", affected message ID: ")
	return text
}
