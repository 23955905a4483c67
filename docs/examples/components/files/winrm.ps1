<powershell>
# Lets WinRM in over HTTPS with a certificate of its own.
$certificate = New-SelfSignedCertificate -DnsName $env:COMPUTERNAME -CertStoreLocation Cert:\LocalMachine\My
New-Item -Path WSMan:\localhost\Listener -Transport HTTPS -Address * -CertificateThumbPrint $certificate.Thumbprint -Force
New-NetFirewallRule -DisplayName WinRM-HTTPS -Direction Inbound -Protocol TCP -LocalPort 5986 -Action Allow
</powershell>
