#![doc = "OTP-style supervision for ractor."]
