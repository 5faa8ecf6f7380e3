"""GLSL of the studio: the skin's paint, and everything that is drawn in a frame."""

NOISE = """
uniform float seed;
float h3(vec3 p){p=fract(p*.1031+seed*.01);p+=dot(p,p.zyx+31.32);return fract((p.x+p.y)*p.z);}
float vn(vec3 x){vec3 i=floor(x),f=fract(x);f=f*f*(3.-2.*f);
return mix(mix(mix(h3(i),h3(i+vec3(1,0,0)),f.x),mix(h3(i+vec3(0,1,0)),h3(i+vec3(1,1,0)),f.x),f.y),
mix(mix(h3(i+vec3(0,0,1)),h3(i+vec3(1,0,1)),f.x),mix(h3(i+vec3(0,1,1)),h3(i+vec3(1,1,1)),f.x),f.y),f.z);}
float fbm(vec3 p){return .5*vn(p)+.25*vn(p*2.1+7.)+.125*vn(p*4.3+3.)+.0625*vn(p*8.7+1.);}
float ss(float a,float b,float x){return smoothstep(a,b,x);}
"""

SPHERE = """
const vec3 SC=vec3(0.,1.,0.);
vec2 sphere(vec3 p){vec3 d=normalize(p-SC);return vec2(atan(d.x,d.z)/6.2831853+.5,acos(clamp(d.y,-1.,1.))/3.14159265);}
"""


QUAD_VS = """#version 330
in vec2 at; out vec2 uv; void main(){uv=at*.5+.5;gl_Position=vec4(at,0,1);}"""

# Albedo of the skin over the spherical map (linear light), alpha = how much this is lip.
PAINT_FS = """#version 330
in vec2 uv; out vec4 o;
uniform sampler2D place,masks; // xyz of the neutral head; lips, brow, eye distance, hairline height
uniform vec3 skin,lip,browc,hair,beard,tint1,tint2,shadow;
uniform vec4 skinp; // blotches, cheeks, freckles, pores
uniform vec4 bp; // stubble, brow width, brow density, eye shadow
uniform vec4 mk; // painted texture: kind, strength, frequency, scalp cap
""" + NOISE + """
void main(){
 vec4 pl=texture(place,uv); vec3 C=pl.xyz; vec4 K=texture(masks,uv); vec3 a=skin;
 float f=fbm(C*.9), f2=fbm(C*3.5+20.), f3=vn(C*9.), f4=vn(C*19.);
 a*=1.+(f-.47)*skinp.x*1.1; a+=vec3(.10,-.03,-.03)*(f2-.47)*skinp.x*1.6*skin.r; a*=1.+((f3-.5)*.16+(f4-.5)*.16)*skinp.w;
 float ck=exp(-(pow(abs(C.x)-4.6,2.)+pow(C.y-.2,2.))/3.2)*ss(4.,7.,C.z); a=mix(a,a*vec3(1.12,.78,.76),ck*skinp.y);
 float no=exp(-(C.x*C.x+pow(C.y-.3,2.))/1.6)*ss(9.5,12.,C.z); a=mix(a,a*vec3(1.08,.82,.78),no*skinp.y*.8);
 a=mix(a,a*vec3(1.05,.8,.76),ss(7.4,9.,abs(C.x))*.5);
 float fr=ss(.70,.80,vn(C*5.5+3.))*ss(5.,8.,C.z)*exp(-pow((C.y-.8)/3.,2.)); a*=1.-.38*fr*skinp.z;
 float mole=ss(.92,.95,vn(C*1.7+41.)); a*=1.-.5*mole*step(.6,skinp.z+skinp.x);
 float front=ss(5.,7.,C.z);
 a*=mix(vec3(1),vec3(.80,.70,.70),exp(-K.z*K.z/.30)*.5*front);
 a=mix(a,shadow,ss(.95,.0,K.z)*bp.w*step(3.1,C.y)*front);
 a=mix(a,a*.30,exp(-K.z*K.z/.006)*.6*front);
 // stubble: a shadow with dots
 float bd=ss(-1.4,-2.4,C.y+.18*max(0.,6.-abs(C.x)-3.))*ss(-10.,-7.5,C.y)*ss(1.,3.,C.z);
 bd=max(bd,ss(-.9,-1.5,C.y)*ss(3.2,2.4,abs(C.x))*ss(-3.6,-2.9,C.y)*front); bd*=ss(.0,.35,K.x);
 float bn=vn(C*vec3(15,11,15)); a=mix(a,beard,clamp(bd*bp.x*(.35+.65*ss(.45,.75,bn)),0.,.85));
 float lp=ss(.10,-.10,K.x+(f2-.47)*.12)*ss(7.,8.,C.z);
 vec3 lc=lip*(1.-.22*ss(.40,.6,vn(C*vec3(8.,1.5,3.)))); lc*=mix(1.,.62,exp(-pow((C.y+3.36)/.10,2.))); a=mix(a,lc,lp);
 // brows: short strokes leaning outwards
 float w=bp.y*mix(1.,.55,ss(3.6,5.8,abs(C.x)))*.62; float st=vn(vec3(C.x*8.-C.y*5.*sign(C.x),C.y*3.,C.z));
 float bw=ss(w,w*.35,K.y+(st-.5)*.28)*front; bw*=.5+.5*ss(.3,.6,st); a=mix(a,browc,clamp(bw*bp.z,0.,1.));
 // scalp under the hair
 float sc=ss(-.7,.9,K.w+(fbm(C*1.2+5.)-.47)*1.4); a=mix(a,hair,sc*mk.w*(.75+.25*vn(C*vec3(7,4,7))));
 // painted textures that stick to the surface
 if(mk.x>.5){ float q=0.; vec3 t=tint1;
  if(mk.x<1.5) q=ss(.44,.56,fbm(C*mk.z)); 
  else if(mk.x<2.5) q=ss(.35,.65,.5+.5*sin((C.x*.6+C.y+fbm(C*.7)*3.)*mk.z*3.));
  else if(mk.x<3.5){float c=abs(fract(fbm(C*mk.z*.8)*7.)-.5); q=ss(.16,.08,c);}
  else if(mk.x<4.5){vec3 g=abs(fract(C*mk.z*.6)-.5); q=step(.38,max(g.x,g.y)); t=mix(tint1,tint2,vn(C));}
  else {q=1.; t=mix(tint1,tint2,ss(.3,.7,fbm(C*mk.z)))*(.6+.8*vn(C*6.));}
  a=mix(a,t,q*mk.y*(1.-.65*lp)); }
 o=vec4(sqrt(clamp(a,0.,1.)),lp);
}"""

MESH_VS = """#version 330
in vec3 can; in float part; in float w; in vec3 tan_; in float hw; in vec3 col; in vec2 uv;
in vec3 p; in vec3 n; in vec3 p0; in vec3 p1;
uniform vec4 cam; // scale, bx, by (up)
uniform vec4 turn,turn0,turn1; // unit quaternions xyzw of the head
uniform vec4 move,move0,move1; // cm, and the head's scale
uniform vec3 pivot;
out vec2 UV; flat out float PT;
#if K==7
out vec3 A,B; out vec2 C;
uniform vec4 style; uniform vec3 L0,L1,L2,c0,c1,c2,amb0,amb1;
#else
out vec3 C,N,A,H;
#endif
#ifdef FLOW
out vec4 S; out vec2 SZ;
#endif
float sq(float x){return x*x;}
vec3 spin(vec4 q,vec3 v){return v+2.*cross(q.xyz,cross(q.xyz,v)+q.w*v);}
vec4 part_of(vec4 q){return normalize(mix(vec4(0,0,0,1),q,w));}
vec3 place(vec3 v,vec4 q,vec4 m){vec3 o=mix(1.,m.w,w)*spin(q,v-pivot)+pivot+m.xyz*w;
vec3 s=cross(spin(q,tan_),vec3(0,0,1));return o+s/(length(s)+.15)*hw;}
void main(){vec4 q=part_of(turn);vec3 o=place(p,q,move);
UV=uv;PT=part;A=col;
#if K==7
C=can.xy;
#ifndef FLOW
vec3 m=spin(q,n),t=spin(q,tan_),lit=mix(amb1,amb0,.5+.5*m.y),sp=vec3(0); vec3 Ls[3]=vec3[3](L0,L1,L2),cs[3]=vec3[3](c0,c1,c2);
for(int i=0;i<3;i++){float d=dot(m,Ls[i]),tl=dot(t,Ls[i]),th=dot(t,normalize(Ls[i]+vec3(0,0,1)));
lit+=cs[i]*sqrt(max(0.,1.-tl*tl))*(.22+.78*max((d+.5)/1.5,0.)); float k=sq(sq(max(0.,1.-th*th)));k*=sq(sq(k));sp+=cs[i]*k*style.z*max(d+.3,0.);}
A=col*lit*mix(.5,1.,smoothstep(0.,.30,uv.y));B=(col*2.+.05)*sp*.8*(style.x>.5?0.:1.);
#endif
#else
C=can;N=spin(q,n);H=p;
#endif
#ifdef FLOW
vec3 a=place(p0,part_of(turn0),move0),b=place(p1,part_of(turn1),move1);
S=vec4(a.xy*cam.x+cam.yz,b.xy*cam.x+cam.yz)*vec4(1,-1,1,-1);SZ=vec2(a.z,b.z);
#endif
gl_Position=vec4(o.xy*cam.x+cam.yz,-o.z/60.,1);}"""

# One program per kind of surface: software OpenGL runs every branch of a shader for every pixel.
MESH_FS = """#version 330
in vec2 UV; flat in float PT;
#if K==7
in vec3 A,B; in vec2 C;
#else
in vec3 C,N,A,H;
#endif
#ifdef FLOW
in vec4 S; in vec2 SZ;
layout(location=0) out vec4 o; layout(location=1) out vec4 g;
#else
out vec4 o;
#endif
uniform sampler2D paint,cover;
uniform vec3 iris,iris2,sclera,tooth,gum,cloth,cloth2,rim;
uniform vec4 eyep; // iris radius, pupil share, limbal ring, veins
uniform vec4 tp; // pattern, frequency, collar line, front depth
uniform vec4 style; // toon levels (0: none), gloss, hair gloss, ao
uniform vec2 lids; uniform float open,lash;
uniform vec3 L0,L1,L2,c0,c1,c2,amb0,amb1;
""" + NOISE + """
void main(){
 float region=1.,spec=0.,gl=18.,ao=1.,wrap=.25,fibre=0.; vec3 a=vec3(.5); int part=int(PT+.5);
#if K!=7
 vec3 n=normalize(N); if(!gl_FrontFacing) n=-n;
#endif
#if K==0
 if(part==1){region=7.; a=vec3(.26,.05,.045); ao=.03+.42*ss(4.,10.5,C.z);}
 else {
  float f=C.z+1.5; if(C.y<tp.z-tp.w*(f>0.?exp(-C.x*C.x/(f*f*.35+.01)):0.)-.7) discard;
  vec2 q=A.yz; vec4 t=textureLod(paint,q,0.); a=t.rgb*t.rgb; if(t.a>.5) region=6.; spec=style.y*(1.+1.5*t.a); gl=16.+14.*t.a;
  float cv=textureLod(cover,q,0.).r; ao=clamp(1.-A.r*style.w,.3,1.12)*(1.-.60*cv);
  if(UV.y>.5&&UV.x<.2){region=7.; float d=ss(6.5,10.2,C.z); a=mix(vec3(.20,.035,.03),a,d*.6); ao*=.2+.8*d; spec=.05;}
 }
#elif K==2
 if(part<4&&(C.y<-5.0||C.y>-1.3)) discard;
 float fo=ss(.0,.5,n.z+.35);
 if(part==2){region=7.; a=gum*(.8+.4*vn(C*3.)); ao=.08+.80*ss(6.,10.2,C.z); spec=.30; gl=30.;}
 else if(part==11){region=9.; a=gum*vec3(1.15,.82,.84)*(.70+.5*vn(C*5.))*(1.-.3*exp(-C.x*C.x/.03)); ao=.10+.9*ss(4.5,9.8,C.z+open*1.5); spec=.3; gl=20.;}
 else {region=8.; a=tooth*(1.-.42*ss(.62,1.,UV.y)); ao=(.05+.95*ss(6.5,10.1,C.z))*(.30+.70*fo); spec=.35; gl=40.;}
#elif K==4
 region=4.; vec3 e=normalize(C-vec3(sign(C.x)*3.12,3.61,8.02)); float r=acos(clamp(e.z,-1.,1.)),th=atan(e.y,e.x),R=eyep.x;
 a=sclera*(1.-.08*vn(e*9.)); a=mix(a,a*vec3(1.,.72,.68),ss(.55,1.05,r)*.6+eyep.w*ss(.62,.75,vn(vec3(th*14.,r*3.,1.)))*ss(.4,.9,r)*.5);
 float q=r/R; float it=ss(1.05,.95,q); if(q<1.) region=5.;
 float rays=.50+.80*vn(vec3(th*9.,q*2.,2.)); vec3 ic=mix(iris2,iris,ss(.35,.75,q))*rays*1.3;
 ic*=1.-eyep.z*ss(.70,1.0,q); ic=mix(ic,vec3(.008),ss(eyep.y+.05,eyep.y-.03,q)); a=mix(a,ic,it);
 float ly=C.x>0.?lids.x:lids.y; ao=mix(.30,1.,ss(-.05,.50,ly-H.y))*mix(.65,1.,ss(1.35,.75,r)); wrap=.5;
#elif K==5
 region=10.; if(UV.x>lash*(.6+.6*vn(vec3(C.x*9.,1.,1.)))||vn(vec3(C.x*13.,C.y*1.5,C.z*1.5))<.40) discard; a=vec3(.02,.015,.012);
#elif K==6
 region=3.; float w=0.,F=tp.y;
 if(tp.x>=1.){ if(tp.x<2.) w=ss(.44,.56,abs(fract(C.y*F)-.5)*2.); else if(tp.x<3.) w=ss(.44,.56,abs(fract(C.x*F)-.5)*2.);
 else if(tp.x<4.) w=.5*ss(.4,.6,abs(fract(C.y*F)-.5)*2.)+.5*ss(.4,.6,abs(fract(C.x*F)-.5)*2.); else if(tp.x<5.) w=ss(.48,.52,.5+.25*sin(C.x*F*3.+2.*sin(C.y*F*2.))+.25*sin(C.y*F*4.+2.*sin(C.x*F)));
 else if(tp.x<6.) w=ss(3.2,2.9,abs(C.x))*step(0.,C.z); else {vec2 d=fract(C.xy*F)-.5; w=ss(.30,.24,length(d));} }
 a=mix(cloth,cloth2,w); a=mix(a,rim,UV.y); float v1=vn(C*.55),v2=vn(C*8.); a*=.72+.36*v1+.28*v2; ao=A.r; spec=.02;
 n=normalize(n+vec3(v1-.5,.5*sin(C.x*.5+C.y*.35+v1*5.),0.)*.38);
#elif K==7
 fibre=1.; region=part==7?2.:part==9?10.:12.; float u=UV.x,v=UV.y; float s=.5+.25*sin(u*5.3+C.x*7.3+C.y*.6)+.25*sin(u*11.7+C.x*17.+C.y*.33);
 float edge=abs(u)+ss(.55,1.,v)*.75+(s-.5)*.9; if(edge>.98&&part==7) discard; a=A*(.55+.9*s)+B;
#elif K==8
 region=11.; a=rim; spec=.8; gl=40.;
#endif
#ifdef FLOW
 o=S; g=vec4(SZ,region,fibre);
#else
#if K==7
 vec3 col=a;
#else
 vec3 lit=mix(amb1,amb0,.5+.5*n.y),sp=vec3(0); vec3 Ls[3]=vec3[3](L0,L1,L2),cs[3]=vec3[3](c0,c1,c2);
 for(int i=0;i<3;i++){ float d=dot(n,Ls[i]); float w=max((d+wrap)/(1.+wrap),0.); if(style.x>.5) w=floor(w*style.x+.5)/style.x; vec3 q=vec3(w);
#if K==0
  q+=vec3(.16,-.02,-.04)*w*(1.-min(w,1.))*1.6;
#endif
  lit+=cs[i]*q;
#if K!=5 && K!=6 && K!=4
  vec3 h=normalize(Ls[i]+vec3(0,0,1)); sp+=cs[i]*exp2(gl*1.4427*(max(dot(n,h),0.)-1.))*spec;
#endif
 }
 if(style.x>.5) sp*=0.;
#if K==4
 vec3 m=reflect(vec3(0,0,-1),n); sp+=vec3(1.1)*ss(.93,.97,dot(m,L0))+c1*.5*ss(.96,.98,dot(m,L1));
#endif
 float fr=1.-max(n.z,0.); vec3 col=a*lit*ao+sp*ao*.8+fr*fr*fr*.12*amb0*ao;
#endif
 col=col/(1.+.18*col)*1.10; o=vec4(sqrt(clamp(col,0.,1.)),region/255.);
#endif
}"""
